package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// fakeQuorum is the quorum as node 2 sees it.
type fakeQuorum struct{ q api.Quorum }

func (*fakeQuorum) NodeID() protocol.NodeID { return 2 }

func (f *fakeQuorum) Quorum() (api.Quorum, bool) { return f.q, true }

// logged plays a script of a cluster and returns what is logged in a format.
func logged(t *testing.T, format string) string {
	t.Helper()
	var out bytes.Buffer
	levels := newLogLevels(slog.LevelInfo)
	logger := newLogger(&out, logOptions{format: format, markers: true, levels: levels, now: time.Now})
	f := &fakeQuorum{api.Quorum{Leader: -1, Term: 3, State: "FOLLOWER"}}
	e := newEvents(f, logger)
	ctx := t.Context()
	for _, q := range []api.Quorum{
		{Leader: -1, Term: 3, State: "FOLLOWER"},
		{Leader: -1, Term: 4, State: "CANDIDATE"},
		{Leader: 2, Term: 4, State: "LEADER"},
		{Leader: 2, Term: 4, State: "LEADER"}, // told again
		{Leader: 1, Term: 5, State: "FOLLOWER"},
	} {
		f.q = q
		e.quorum(ctx)
	}
	img, version := image.Empty(), int64(0)
	apply := func(records ...metadata.Record) {
		b := image.NewBuilder(img)
		version++
		if err := b.Apply(version, &metadata.Command{Records: records}); err != nil {
			t.Fatal(err)
		}
		next, delta := b.Build()
		img = next
		e.delta(ctx, delta)
	}
	id := func(n int) protocol.TopicID { return protocol.TopicID{15: byte(n)} }
	yes, no := true, false
	apply(&metadata.ClusterRecord{ClusterID: "c"})
	apply(&metadata.RegisterBrokerRecord{ID: 101, Epoch: 2, Fenced: true})
	apply(&metadata.BrokerRegistrationChangeRecord{ID: 101, Epoch: 2, Fenced: &no})
	apply(&metadata.TopicRecord{Name: "orders", ID: id(1)})
	apply(&metadata.BrokerRegistrationChangeRecord{ID: 101, Epoch: 2, Fenced: &yes})
	apply(&metadata.RemoveTopicRecord{ID: id(1)})
	var many []metadata.Record
	for n := range 20 {
		many = append(many, &metadata.TopicRecord{Name: fmt.Sprint("t", n), ID: id(n + 10)})
	}
	apply(many...)
	apply(&metadata.UnregisterBrokerRecord{ID: 101, Epoch: 2})
	for range deltasQueued + 7 { // more than are read
		e.Publish(&image.Delta{})
	}
	apply(&metadata.RegisterBrokerRecord{ID: 102, Epoch: 3})
	return out.String()
}

func TestEvents_Console(t *testing.T) {
	text := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} `).ReplaceAllString(logged(t, "console"), "")
	want := `INF 🗳️ election begun: no leader is heard of term=4
INF 🎖️ this node leads the quorum leader=2 term=4
INF 🎖️ another node leads the quorum leader=1 term=5
INF 📥 metadata loaded metadata_version=1 topics=0 brokers=0
INF 📝 broker registered broker=101
INF 🔄 broker is ONLINE broker=101
INF 📝 topic created topic=orders partitions=0
INF 🔄 broker is OFFLINE broker=101
INF topic deleted topic=orders
INF 📝 topics created topics=20
INF broker unregistered broker=101
WRN ⚠️ changes of the metadata were not logged: there are too many at a time changes=7
INF 📝 broker registered broker=102
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}

// The same events are in JSON, by their ids and without markers.
func TestEvents_JSON(t *testing.T) {
	text := logged(t, "json")
	for _, event := range []string{"quorum.election", "quorum.leader", "metadata.load", "broker.register", "broker.health.change", "topic.create", "topic.delete"} {
		if !strings.Contains(text, fmt.Sprintf("%q:%q", "event", event)) {
			t.Errorf("no %s in %s", event, text)
		}
	}
	if strings.ContainsAny(text, "🗳🎖📥📝🔄⚠") {
		t.Errorf("markers in %s", text)
	}
}
