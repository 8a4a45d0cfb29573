package broker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

func TestAdoptFolders_Configs(t *testing.T) {
	props, err := embedded(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var found []partitionFolder
	for i, name := range []string{group.Topic, "orders"} {
		found = append(found, partitionFolder{TopicPartition: protocol.TopicPartition{Topic: name}, id: protocol.TopicID{byte(i + 1)}, leaderEpoch: -1})
	}
	got := make(map[string]string)
	for _, r := range adoptFolders(found, props) {
		if c, ok := r.(*metadata.ConfigRecord); ok {
			got[c.ResourceName+" "+c.Name] = *c.Value
		}
	}
	want := map[string]string{
		"__consumer_offsets cleanup.policy": "compact", "__consumer_offsets compression.type": "producer", "__consumer_offsets segment.bytes": "104857600",
		"orders cleanup.policy": "", "orders retention.bytes": "-1", "orders retention.ms": "-1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("configs (-want +got)\n%s", d)
	}
}
