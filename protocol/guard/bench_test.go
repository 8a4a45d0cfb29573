package guard_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/guard"
)

// typical are requests as clients send them.
func typical() map[string]kmsg.Request {
	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(11)
	produce.Acks, produce.TimeoutMillis = -1, 30_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	for i := range int32(6) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, make([]byte, 16<<10)
		topic.Partitions = append(topic.Partitions, p)
	}
	produce.Topics = append(produce.Topics, topic)

	fetch := kmsg.NewPtrFetchRequest()
	fetch.SetVersion(16)
	ft := kmsg.NewFetchRequestTopic()
	for i := range int32(100) {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = i, 1<<20
		ft.Partitions = append(ft.Partitions, p)
	}
	fetch.Topics = append(fetch.Topics, ft)

	metadata := kmsg.NewPtrMetadataRequest()
	metadata.SetVersion(12)
	for range 10 {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new("some-topic-name")
		metadata.Topics = append(metadata.Topics, t)
	}
	return map[string]kmsg.Request{"Produce": produce, "Fetch": fetch, "Metadata": metadata}
}

func TestCheck_AllocatesNothing(t *testing.T) {
	for name, req := range typical() {
		body := req.AppendTo(nil)
		allocs := testing.AllocsPerRun(100, func() {
			if err := guard.Check(req.Key(), req.GetVersion(), body); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: got %v allocations, want none", name, allocs)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, req := range typical() {
		body := req.AppendTo(nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := guard.Check(req.Key(), req.GetVersion(), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
