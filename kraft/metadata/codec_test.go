package metadata_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// samples has one full and one sparse value of every type.
func samples() []metadata.Record {
	id := protocol.TopicID{1, 2, 15: 16}
	nodes := []protocol.NodeID{1, 2, -1, math.MaxInt32}
	endpoints := []metadata.Endpoint{{Name: "PLAINTEXT", Host: "h", Port: 65535, SecurityProtocol: 3}, {}}
	features := map[string]metadata.FeatureRange{"metadata.version": {Min: 7, Max: 33}, "a": {Min: -1, Max: math.MaxInt16}}
	return []metadata.Record{
		&metadata.ClusterRecord{ClusterID: "c"},
		&metadata.ClusterRecord{},
		&metadata.FeatureLevelRecord{Name: "metadata.version", Level: 33},
		&metadata.TopicRecord{Name: "t", ID: id, CreatedAt: 1700000000000},
		&metadata.TopicRecord{},
		&metadata.RemoveTopicRecord{ID: id},
		&metadata.PartitionRecord{TopicID: id, Partition: 7, PartitionState: metadata.PartitionState{
			Replicas: nodes, ISR: nodes[:1], ELR: nodes[1:2], LastKnownELR: nodes[:2], Adding: nodes[:3], Removing: nodes[2:],
			Directories: []protocol.TopicID{id, {}}, Leader: -1, LeaderEpoch: 5, PartitionEpoch: math.MaxInt32, LeaderRecoveryState: 1, UncleanEpoch: 4,
		}},
		&metadata.PartitionRecord{},
		&metadata.PartitionChangeRecord{TopicID: id, Partition: 1},
		&metadata.PartitionChangeRecord{TopicID: id, Leader: new(protocol.NodeID(3))},
		&metadata.PartitionChangeRecord{
			TopicID: id, Partition: math.MaxInt32, Leader: new(protocol.NodeID(-1)), ISR: nodes, ELR: []protocol.NodeID{}, LastKnownELR: nodes[:1],
			Replicas: nodes, Adding: []protocol.NodeID{}, Removing: nodes, Directories: []protocol.TopicID{}, LeaderRecoveryState: new(int8(1)),
		},
		&metadata.ConfigRecord{ResourceType: 2, ResourceName: "t", Name: "k", Value: new("v")},
		&metadata.ConfigRecord{ResourceType: -128, Name: "k"},
		&metadata.RegisterBrokerRecord{
			ID: 1, Epoch: math.MaxInt64, IncarnationID: id, Endpoints: endpoints, Rack: new("r"), Fenced: true, InControlledShutdown: true,
			LogDirs: []protocol.TopicID{id}, CordonedDirs: []protocol.TopicID{id}, Features: features,
		},
		&metadata.RegisterBrokerRecord{Rack: new("")},
		&metadata.UnregisterBrokerRecord{ID: 1, Epoch: 2},
		&metadata.BrokerRegistrationChangeRecord{ID: 1, Epoch: 2, Fenced: new(true), InControlledShutdown: new(false), LogDirs: []protocol.TopicID{}},
		&metadata.BrokerRegistrationChangeRecord{ID: 1, Epoch: 2, CordonedDirs: []protocol.TopicID{id}},
		&metadata.BrokerRegistrationChangeRecord{ID: 1, Epoch: 2, CordonedDirs: []protocol.TopicID{}},
		&metadata.BrokerRegistrationChangeRecord{Fenced: new(false)},
		&metadata.ProducerIDsRecord{BrokerID: 1, BrokerEpoch: -1, NextProducerID: math.MaxInt64},
		&metadata.RegisterControllerRecord{ID: 1, IncarnationID: id, DirectoryID: id, Endpoints: endpoints, Features: features},
	}
}

func TestRecord_RoundTrip(t *testing.T) {
	seen := map[metadata.Type]bool{}
	for _, want := range samples() {
		seen[want.Type()] = true
		b := metadata.AppendRecord([]byte("before"), want)[len("before"):]
		got, rest, err := metadata.ReadRecord(append(b, "after"...))
		if err != nil || string(rest) != "after" {
			t.Errorf("%s: %v, %q left", want.Type(), err, rest)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", want.Type(), diff)
		}
		for n := range b { // every shorter form is refused, not misread
			if _, _, err := metadata.ReadRecord(b[:n]); !errors.Is(err, metadata.ErrMalformed) {
				t.Errorf("%s cut at %d of %d: %v", want.Type(), n, len(b), err)
			}
		}
	}
	for typ := metadata.Type(1); !strings.HasPrefix(typ.String(), "type "); typ++ {
		if !seen[typ] {
			t.Errorf("no sample of %s", typ)
		}
	}
}

// TestRecord_Bytes pins the format: these bytes are on disks.
func TestRecord_Bytes(t *testing.T) {
	for _, tc := range []struct {
		record metadata.Record
		want   []byte
	}{
		{&metadata.ClusterRecord{ClusterID: "ab"}, []byte{1, 0, 3, 2, 'a', 'b'}},
		{&metadata.FeatureLevelRecord{Name: "f", Level: 33}, []byte{2, 0, 3, 1, 'f', 66}},
		{&metadata.ConfigRecord{ResourceType: 2, ResourceName: "t", Name: "k"}, []byte{7, 0, 6, 4, 1, 't', 1, 'k', 0}},
		{&metadata.ProducerIDsRecord{BrokerID: -1, BrokerEpoch: 1, NextProducerID: 1000}, []byte{11, 0, 4, 1, 2, 208, 15}},
		{
			&metadata.PartitionChangeRecord{TopicID: protocol.TopicID{9}, Partition: 1, Leader: new(protocol.NodeID(2)), ISR: []protocol.NodeID{2}},
			append(append([]byte{6, 0, 21, 9}, make([]byte, 15)...), 2, 3, 4, 1, 4),
		},
	} {
		if got := metadata.AppendRecord(nil, tc.record); !bytes.Equal(got, tc.want) {
			t.Errorf("%s: % x, want % x", tc.record.Type(), got, tc.want)
		}
	}
}

func TestCommand_RoundTrip(t *testing.T) {
	for _, want := range []*metadata.Command{
		{Records: samples()},
		{Records: samples()[:2], Conditional: true, Revision: 1 << 40},
		{Records: []metadata.Record{}},
	} {
		got, err := metadata.DecodeCommand(want.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if _, err := metadata.DecodeCommand(append(want.Encode(), 0)); !errors.Is(err, metadata.ErrMalformed) {
			t.Errorf("a byte too many: %v", err)
		}
	}
}

func TestCommand_RefusesWhatIsNewer(t *testing.T) {
	record := (&metadata.Command{Records: []metadata.Record{&metadata.ClusterRecord{ClusterID: "c"}}}).Encode()
	change := func(i int, v byte) []byte {
		b := bytes.Clone(record)
		b[i] = v
		return b
	}
	for name, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"format":  {change(0, 2), "metadata command format has version 2, this program reads up to 1: it was written by a newer version of dmq; upgrade this node"},
		"flags":   {change(1, 2), "metadata command flags has version 2"},
		"type":    {change(3, 99), "unknown metadata record (type 99): it was written by a newer version of dmq; upgrade this node"},
		"version": {change(4, 1), "metadata Cluster record has version 1, this program reads up to 0"},
	} {
		_, err := metadata.DecodeCommand(tc.in)
		var unsupported *metadata.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzMetadataRecord checks that any bytes are either refused or a record that writes back to the same bytes, or to those of
// the version written today, within bounded memory.
func FuzzMetadataRecord(f *testing.F) {
	for _, r := range samples() {
		f.Add(metadata.AppendRecord(nil, r))
	}
	f.Add([]byte{5, 0, 2, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := metadata.ReadRecord(b)
		if err != nil {
			var unsupported *metadata.UnsupportedError
			if !errors.Is(err, metadata.ErrMalformed) && !errors.As(err, &unsupported) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		used := b[:len(b)-len(rest)]
		again := metadata.AppendRecord(nil, r)
		if again[1] != used[1] { // an older version
			if r, _, err = metadata.ReadRecord(again); err != nil {
				t.Fatalf("read again: %v", err)
			}
			used, again = again, metadata.AppendRecord(nil, r)
		}
		if !bytes.Equal(again, used) {
			t.Fatalf("%s written back: % x, read from % x", r.Type(), again, used)
		}
	})
}

// FuzzMetadataCommand does the same for commands.
func FuzzMetadataCommand(f *testing.F) {
	f.Add((&metadata.Command{Records: samples()}).Encode())
	f.Add((&metadata.Command{Conditional: true, Revision: 5}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := metadata.DecodeCommand(b)
		if err != nil {
			return
		}
		again := c.Encode()
		if c, err = metadata.DecodeCommand(again); err != nil || !bytes.Equal(c.Encode(), again) {
			t.Fatalf("written back: % x, read from % x: %v", again, b, err)
		}
	})
}

// Records of older versions are read as they were meant.
func TestRecord_OlderVersions(t *testing.T) {
	tests := []struct {
		record  metadata.Record
		version byte
		behind  int // bytes that this version did not have
	}{
		{&metadata.PartitionRecord{TopicID: protocol.TopicID{1}, Partition: 1, PartitionState: metadata.PartitionState{Leader: 1, LeaderRecoveryState: 1}}, 0, 1},
		{&metadata.RegisterBrokerRecord{ID: 1, Epoch: 5, LogDirs: []protocol.TopicID{{1}}}, 0, 2},
		{&metadata.RegisterBrokerRecord{ID: 1, Epoch: 5, LogDirs: []protocol.TopicID{{1}}, CordonedDirs: []protocol.TopicID{{1}}}, 1, 1},
		{&metadata.BrokerRegistrationChangeRecord{ID: 1, Epoch: 5, Fenced: new(true)}, 0, 1},
		{&metadata.RegisterControllerRecord{ID: 1, IncarnationID: protocol.TopicID{2}}, 0, len(protocol.TopicID{})},
	}
	for _, tt := range tests {
		b := metadata.AppendRecord(nil, tt.record)
		b = b[:len(b)-tt.behind]
		b[1], b[2] = tt.version, b[2]-byte(tt.behind)
		got, rest, err := metadata.ReadRecord(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s: %v, %d bytes left", tt.record.Type(), err, len(rest))
		}
		if diff := cmp.Diff(tt.record, got); diff != "" {
			t.Errorf("%s: %s", tt.record.Type(), diff)
		}
	}
}
