package handler

import (
	"context"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveDescribeLogDirs tells what each log directory of this broker holds, and how full its disk is.
//
// DescribeLogDirs: v1-v5
//
// Behaviour:
//   - null topics mean all partitions; a directory is listed even if none of those asked for is in it
//   - a directory that failed: KAFKA_STORAGE_ERROR, without partitions and sizes
//   - no partition is opened for it
//
// Version notes: v3 top-level error; v4 size of the disk; v5 whether the directory is cordoned (KIP-1066).
//
// Difference from Apache Kafka: the offset lag is always 0. Kafka reports how far the log end is behind the high watermark,
// which it is not on a leader.
func (d *dataHandler) serveDescribeLogDirs(ctx context.Context, _ *listener.Request, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	parts, err := d.logDirs.Partitions(ctx)
	if err != nil {
		resp.ErrorCode = errcode.Of(err)
		return resp
	}
	wanted := wantedLogs(req)
	for _, dir := range d.logDirs.Dirs() {
		out := kmsg.NewDescribeLogDirsResponseDir()
		out.Dir, out.TotalBytes, out.UsableBytes = dir.Path, -1, -1
		if dir.Offline {
			out.ErrorCode = int16(errcode.KindKafkaStorageError)
			resp.Dirs = append(resp.Dirs, out)
			continue
		}
		if dir.Total > 0 {
			out.TotalBytes, out.UsableBytes = clampInt64(dir.Total), clampInt64(dir.Free)
		}
		out.IsCordoned = dir.Cordoned
		out.Topics = d.describeDir(dir.Path, parts, wanted)
		resp.Dirs = append(resp.Dirs, out)
	}
	return resp
}

func clampInt64(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// wantedLogs is nil for all.
func wantedLogs(req *kmsg.DescribeLogDirsRequest) map[protocol.TopicPartition]bool {
	if req.Topics == nil {
		return nil
	}
	wanted := make(map[protocol.TopicPartition]bool)
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			wanted[protocol.TopicPartition{Topic: req.Topics[i].Topic, Partition: p}] = true
		}
	}
	return wanted
}

// describeDir lists the partitions of one directory by topic; parts are sorted. One that goes away meanwhile is left out.
func (d *dataHandler) describeDir(dir string, parts []logdir.Info, wanted map[protocol.TopicPartition]bool) []kmsg.DescribeLogDirsResponseDirTopic {
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	for i := range parts {
		tp := parts[i].TopicPartition
		if parts[i].Dir != dir || wanted != nil && !wanted[tp] {
			continue
		}
		size, err := d.logDirs.Size(tp)
		if err != nil {
			continue
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = tp.Partition, size
		at := slices.IndexFunc(topics[max(len(topics)-1, 0):], func(t kmsg.DescribeLogDirsResponseDirTopic) bool { return t.Topic == tp.Topic })
		if at < 0 {
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic = tp.Topic
			topics = append(topics, t)
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, p)
	}
	return topics
}
