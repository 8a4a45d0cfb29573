package group

import (
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// TestTopicHash compares with what hash4j 0.22, which Kafka 4.4 uses, makes of the same.
func TestTopicHash(t *testing.T) {
	racks := []string{"räck", "r1"}
	img := &image.Image{Brokers: map[protocol.NodeID]*image.Broker{1: {Rack: &racks[0]}, 2: {Rack: &racks[1]}, 3: {}}}
	for _, tt := range []struct {
		partitions int
		replicas   []protocol.NodeID
		want       int64
	}{
		{0, nil, -2280519892791028782},
		{1, nil, -6004885474617593427},
		{2, []protocol.NodeID{1, 4, 3, 2}, -7541044914047911621},
		{50, []protocol.NodeID{3}, 4804286884732729576},
		{1000, nil, -1777567130050738492},
	} {
		topic := &image.Topic{
			Name:       "tópic",
			ID:         protocol.TopicID{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff},
			Partitions: make([]image.Partition, tt.partitions),
		}
		for p := range topic.Partitions {
			topic.Partitions[p].Replicas = tt.replicas
		}
		if got := int64(topicHash(img, topic)); got != tt.want {
			t.Errorf("%d partitions: got %d, want %d", tt.partitions, got, tt.want)
		}
	}
}

func TestGroupHash(t *testing.T) {
	if got := groupHash(nil); got != 0 {
		t.Errorf("without topics: got %d, want 0", got)
	}
	if got, want := groupHash([]uint64{123, 456}), int64(1482712172080382793); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got, want := int64(xxh3.Hash(hashInput{}.string("foo"))), int64(7324479985248136222); got != want {
		t.Errorf("a string: got %d, want %d", got, want)
	}
}
