package metadata

import (
	"errors"
	"fmt"
	"slices"

	"github.com/distributedmq/dmq/protocol"
)

// Record is one change of the cluster's metadata. The types that implement it are the ones of this package.
type Record interface {
	// Type names the kind of record.
	Type() Type
	encode(e *encoder)
	decode(d *decoder, version uint64)
}

// Type numbers the kinds of records. The numbers are part of the on-disk format.
type Type uint16

// The kinds of records.
const (
	TypeCluster                  Type = 1
	TypeFeatureLevel             Type = 2
	TypeTopic                    Type = 3
	TypeRemoveTopic              Type = 4
	TypePartition                Type = 5
	TypePartitionChange          Type = 6
	TypeConfig                   Type = 7
	TypeRegisterBroker           Type = 8
	TypeUnregisterBroker         Type = 9
	TypeBrokerRegistrationChange Type = 10
	TypeProducerIDs              Type = 11
	TypeRegisterController       Type = 12
)

// kind is what the codec must know of a type.
type kind struct {
	name    string
	version uint64 // the version written, and the newest that is understood
	make    func() Record
}

// kindOf is the table of types.
func kindOf(t Type) (kind, bool) {
	switch t {
	case TypeCluster:
		return kind{"Cluster", 0, func() Record { return new(ClusterRecord) }}, true
	case TypeFeatureLevel:
		return kind{"FeatureLevel", 0, func() Record { return new(FeatureLevelRecord) }}, true
	case TypeTopic:
		return kind{"Topic", 0, func() Record { return new(TopicRecord) }}, true
	case TypeRemoveTopic:
		return kind{"RemoveTopic", 0, func() Record { return new(RemoveTopicRecord) }}, true
	case TypePartition:
		return kind{"Partition", 1, func() Record { return new(PartitionRecord) }}, true
	case TypePartitionChange:
		return kind{"PartitionChange", 0, func() Record { return new(PartitionChangeRecord) }}, true
	case TypeConfig:
		return kind{"Config", 0, func() Record { return new(ConfigRecord) }}, true
	case TypeRegisterBroker:
		return kind{"RegisterBroker", 2, func() Record { return new(RegisterBrokerRecord) }}, true
	case TypeUnregisterBroker:
		return kind{"UnregisterBroker", 0, func() Record { return new(UnregisterBrokerRecord) }}, true
	case TypeBrokerRegistrationChange:
		return kind{"BrokerRegistrationChange", 1, func() Record { return new(BrokerRegistrationChangeRecord) }}, true
	case TypeProducerIDs:
		return kind{"ProducerIDs", 0, func() Record { return new(ProducerIDsRecord) }}, true
	case TypeRegisterController:
		return kind{"RegisterController", 1, func() Record { return new(RegisterControllerRecord) }}, true
	default:
		return kind{}, false
	}
}

// String returns the name of the kind.
func (t Type) String() string {
	if k, ok := kindOf(t); ok {
		return k.name
	}
	return fmt.Sprintf("type %d", uint16(t))
}

// ErrMalformed says that bytes are not a command or record.
var ErrMalformed = errors.New("malformed metadata")

// UnsupportedError says that the bytes were written by a newer program.
type UnsupportedError struct {
	What     string // "Topic record", "command format"…
	Version  uint64
	Supports uint64 // newest version this program reads; meaningless for an unknown type
	Unknown  bool   // the type itself is unknown
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("unknown metadata record (%s): it was written by a newer version of dmq; upgrade this node", e.What)
	}
	return fmt.Sprintf("metadata %s has version %d, this program reads up to %d: it was written by a newer version of dmq; upgrade this node",
		e.What, e.Version, e.Supports)
}

// Endpoint is where a node listens.
type Endpoint struct {
	Name             string // listener name
	Host             string
	Port             uint16
	SecurityProtocol int16
}

// FeatureRange is the levels of a feature that a node supports.
type FeatureRange struct{ Min, Max int16 }

// PartitionState is everything the cluster knows of one partition.
type PartitionState struct {
	Replicas            []protocol.NodeID
	ISR                 []protocol.NodeID
	ELR                 []protocol.NodeID
	LastKnownELR        []protocol.NodeID
	Adding              []protocol.NodeID
	Removing            []protocol.NodeID
	Directories         []protocol.TopicID // by position in Replicas; zero: unassigned
	Leader              protocol.NodeID    // -1: none
	LeaderEpoch         int32
	PartitionEpoch      int32
	LeaderRecoveryState int8 // one of the constants
	// UncleanEpoch is the leader epoch that the last unclean election began; 0: there was none. What was committed in the
	// epochs before it may have been given up.
	UncleanEpoch int32
}

// Directory is the log directory of a replica; zero: not known.
func (p *PartitionState) Directory(id protocol.NodeID) protocol.TopicID {
	if i := slices.Index(p.Replicas, id); i >= 0 && i < len(p.Directories) {
		return p.Directories[i]
	}
	return protocol.TopicID{}
}

// Values of LeaderRecoveryState.
const (
	Recovered  int8 = 0
	Recovering int8 = 1 // its leader came from an unclean election and has not told of it yet
)

// ClusterRecord names the cluster. It is the first record of every metadata log.
type ClusterRecord struct{ ClusterID string }

// FeatureLevelRecord finalizes a feature at a level; 0 removes it.
type FeatureLevelRecord struct {
	Name  string
	Level int16
}

// TopicRecord creates a topic. Its partitions follow.
type TopicRecord struct {
	Name      string
	ID        protocol.TopicID
	CreatedAt int64 // milliseconds since the Unix epoch; 0: unknown
}

// RemoveTopicRecord deletes a topic with its partitions and configs.
type RemoveTopicRecord struct{ ID protocol.TopicID }

// PartitionRecord creates the next partition of a topic.
type PartitionRecord struct {
	TopicID   protocol.TopicID
	Partition int32
	PartitionState
}

// PartitionChangeRecord changes a partition. Nil fields stay as they are. Applying it raises the partition epoch by one,
// and the leader epoch by one when Leader is set, even to the same leader. One that sets a Leader and Recovering is an unclean
// election: the leader epoch becomes the UncleanEpoch, too.
type PartitionChangeRecord struct {
	TopicID             protocol.TopicID
	Partition           int32
	Leader              *protocol.NodeID
	ISR                 []protocol.NodeID // nil: unchanged; empty: no member
	ELR                 []protocol.NodeID
	LastKnownELR        []protocol.NodeID
	Replicas            []protocol.NodeID
	Adding              []protocol.NodeID
	Removing            []protocol.NodeID
	Directories         []protocol.TopicID
	LeaderRecoveryState *int8
}

// ConfigRecord sets one configuration key of a resource, or removes it when Value is nil.
type ConfigRecord struct {
	ResourceType int8
	ResourceName string
	Name         string
	Value        *string
}

// RegisterBrokerRecord registers an incarnation of a broker. Epoch 0 stands for the position of the command in the
// metadata log, which becomes the broker epoch.
type RegisterBrokerRecord struct {
	ID                   protocol.NodeID
	Epoch                protocol.BrokerEpoch
	IncarnationID        protocol.TopicID
	Endpoints            []Endpoint
	Rack                 *string
	Fenced               bool
	InControlledShutdown bool
	LogDirs              []protocol.TopicID
	CordonedDirs         []protocol.TopicID // of LogDirs, those that get no new replicas
	Features             map[string]FeatureRange
	RegisteredAt         int64 // milliseconds since the Unix epoch; 0: unknown
}

// UnregisterBrokerRecord forgets a broker.
type UnregisterBrokerRecord struct {
	ID    protocol.NodeID
	Epoch protocol.BrokerEpoch
}

// BrokerRegistrationChangeRecord changes a registration. Nil fields stay as they are.
type BrokerRegistrationChangeRecord struct {
	ID                   protocol.NodeID
	Epoch                protocol.BrokerEpoch
	Fenced               *bool
	InControlledShutdown *bool
	LogDirs              []protocol.TopicID // nil: unchanged
	CordonedDirs         []protocol.TopicID // nil: unchanged
}

// ProducerIDsRecord hands the producer ids below NextProducerID to a broker; they are never handed out again.
type ProducerIDsRecord struct {
	BrokerID       protocol.NodeID
	BrokerEpoch    protocol.BrokerEpoch
	NextProducerID int64
}

// RegisterControllerRecord registers an incarnation of a controller.
type RegisterControllerRecord struct {
	ID            protocol.NodeID
	IncarnationID protocol.TopicID
	DirectoryID   protocol.TopicID // of its metadata log; zero: not known
	Endpoints     []Endpoint
	Features      map[string]FeatureRange
}

// Type implements Record.
func (*ClusterRecord) Type() Type { return TypeCluster }

// Type implements Record.
func (*FeatureLevelRecord) Type() Type { return TypeFeatureLevel }

// Type implements Record.
func (*TopicRecord) Type() Type { return TypeTopic }

// Type implements Record.
func (*RemoveTopicRecord) Type() Type { return TypeRemoveTopic }

// Type implements Record.
func (*PartitionRecord) Type() Type { return TypePartition }

// Type implements Record.
func (*PartitionChangeRecord) Type() Type { return TypePartitionChange }

// Type implements Record.
func (*ConfigRecord) Type() Type { return TypeConfig }

// Type implements Record.
func (*RegisterBrokerRecord) Type() Type { return TypeRegisterBroker }

// Type implements Record.
func (*UnregisterBrokerRecord) Type() Type { return TypeUnregisterBroker }

// Type implements Record.
func (*BrokerRegistrationChangeRecord) Type() Type { return TypeBrokerRegistrationChange }

// Type implements Record.
func (*ProducerIDsRecord) Type() Type { return TypeProducerIDs }

// Type implements Record.
func (*RegisterControllerRecord) Type() Type { return TypeRegisterController }
