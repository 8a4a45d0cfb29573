package handler_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// groupKeys are the APIs of the group coordinator.
var groupKeys = []int16{8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47, 68, 69}

// alarm fails a test for what must not happen whatever clients send.
type alarm struct {
	slog.Handler
	t *testing.T
}

func (a alarm) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (a alarm) Handle(_ context.Context, r slog.Record) error {
	a.t.Error(r.Message)
	r.Attrs(func(at slog.Attr) bool { a.t.Error(at); return true })
	return nil
}

func (a alarm) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a alarm) WithGroup(string) slog.Handler      { return a }

// frontDesk is the group handlers over a real coordinator and a log in memory.
func frontDesk(t *testing.T) *handler.Handler {
	t.Helper()
	b := coordtest.OpenBroker(t, vfs.NewMem(), image.Empty())
	b.CreateTopic("t", 3)
	b.CreateTopic(group.Topic, 2)
	settings := group.Settings{
		MinSessionTimeout: time.Millisecond, MaxSessionTimeout: time.Hour, MaxSize: 10, OffsetMetadataMaxBytes: 100,
		OffsetsRetention: time.Hour, OffsetsRetentionCheck: time.Hour, ConsumerMaxSize: 10, Assignors: []string{"uniform", "range"},
		Consumer:             group.ConsumerSettings{SessionTimeout: time.Second, HeartbeatInterval: time.Second, AssignorOffload: true},
		ConsumerGroupsServed: true, RegexRefresh: time.Minute, MigrationPolicy: group.MigrationBidirectional,
	}
	c := group.NewCoordinator(group.Options{
		NodeID: coordtest.Self, Replicas: b, Image: b.Image, Logger: slog.New(alarm{t: t}),
		Rand:          func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) },
		Settings:      func(*image.Image) group.Settings { return settings },
		GroupSettings: func(*image.Image) map[string]group.ConsumerSettings { return nil },
		MaxBatchBytes: func(*image.Image) int { return 1 << 20 }, KeepBytes: func(*image.Image) int { return 1 << 20 },
		Partitions: 50, CommitTimeout: time.Minute,
	})
	b.Subscribe(c)
	t.Cleanup(func() { c.Close() })
	cfg, _, err := config.Load(config.Sources{Set: []string{"log.dirs=/data"}})
	if err != nil {
		t.Fatal(err)
	}
	return handler.New(handler.Deps{NodeID: coordtest.Self, Config: cfg, Images: b, Logger: slog.New(alarm{t: t}), Groups: c})
}

// FuzzGroups sends sequences of group requests to a coordinator: none may break its state, and each that is answered must be
// something that can be encoded. The input is frames: key, version, length of the body, body.
func FuzzGroups(f *testing.F) {
	var all []byte
	for _, key := range groupKeys {
		api, _ := protocol.LookupAPI(key)
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			req := kmsg.RequestForKey(key)
			req.SetVersion(v)
			named(req)
			body := req.AppendTo(nil)
			frame := append([]byte{byte(key), byte(v), byte(len(body))}, body...)
			f.Add(frame)
			all = append(all, frame...)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 16<<10 {
			return
		}
		h := frontDesk(t)
		for len(in) >= 3 {
			header := protocol.RequestHeader{Key: int16(in[0]), Version: int16(in[1]), ClientID: "fuzz"}
			n := min(int(in[2]), len(in)-3)
			body := in[3 : 3+n]
			in = in[3+n:]
			api, ok := protocol.LookupAPI(header.Key)
			if !ok || header.Version < api.MinVersion || header.Version > api.MaxVersion || !slices.Contains(groupKeys, header.Key) {
				continue
			}
			req, err := protocol.DecodeRequest(header, body)
			if err != nil {
				continue
			}
			r := &listener.Request{Header: header, Body: req, Conn: &listener.ConnInfo{ListenerName: "PLAINTEXT", RemoteAddr: &net.TCPAddr{}, ClientHost: "/h"}}
			if reply, ok := h.Serve(t.Context(), r).(listener.Reply); ok {
				reply.Message.SetVersion(header.Version)
				reply.Message.AppendTo(nil)
			}
		}
	})
}

// named makes a request one that gets somewhere.
func named(req kmsg.Request) {
	const g = "g"
	switch q := req.(type) {
	case *kmsg.OffsetCommitRequest:
		q.Group, q.Generation = g, -1
		q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", TopicID: protocol.TopicID{'t'}, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
	case *kmsg.OffsetFetchRequest:
		q.Group, q.Groups = g, []kmsg.OffsetFetchRequestGroup{{Group: g}}
	case *kmsg.FindCoordinatorRequest:
		q.CoordinatorKey, q.CoordinatorKeys = g, []string{g}
	case *kmsg.JoinGroupRequest:
		q.Group, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = g, "consumer", 1000, 1000
		q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 3, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0, 0, 0, 0, 0}}}
	case *kmsg.SyncGroupRequest:
		q.Group, q.Generation, q.ProtocolType, q.Protocol = g, 1, new("consumer"), new("range")
		q.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m", MemberAssignment: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
	case *kmsg.HeartbeatRequest:
		q.Group, q.MemberID = g, "m"
	case *kmsg.LeaveGroupRequest:
		q.Group, q.MemberID, q.Members = g, "m", []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}
	case *kmsg.DescribeGroupsRequest:
		q.Groups = []string{g}
	case *kmsg.DeleteGroupsRequest:
		q.Groups = []string{g}
	case *kmsg.OffsetDeleteRequest:
		q.Group, q.Topics = g, []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		q.Group, q.MemberID, q.RebalanceTimeoutMillis, q.SubscribedTopicNames = "c", "m", 1000, []string{"t"}
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	case *kmsg.ConsumerGroupDescribeRequest:
		q.Groups = []string{"c"}
	}
}
