package image

import (
	"slices"

	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// Resource names something that carries configuration. Type is Kafka's ConfigResource type (kmsg.ConfigResourceType);
// a broker resource with an empty name is the cluster-wide default.
type Resource struct {
	Type int8
	Name string
}

// Resource types that carry configuration.
const (
	ResourceTopic         int8 = 2
	ResourceBroker        int8 = 4
	ResourceBrokerLogger  int8 = 8
	ResourceClientMetrics int8 = 16
	ResourceGroup         int8 = 32
)

// Image is the cluster's metadata after a number of commands. It is immutable.
type Image struct {
	Version        int64 // position in the metadata log (raft index) of the last command applied; nudges do not count
	Revision       int64 // number of commands applied since the cluster began
	ClusterID      string
	Topics         Table[string, *Topic]
	TopicNames     Table[protocol.TopicID, string]
	Brokers        map[protocol.NodeID]*Broker
	Controllers    map[protocol.NodeID]*Controller
	Configs        map[Resource]map[string]string
	Features       map[string]int16
	FeaturesEpoch  int64 // Version at which a feature level last changed
	NextProducerID int64
}

// Empty returns the image of a cluster in which nothing has happened.
func Empty() *Image { return &Image{} }

// Topic returns the topic of that name, or nil.
func (i *Image) Topic(name string) *Topic { return i.Topics.Get(name) }

// TopicByID returns the topic with that id, or nil.
func (i *Image) TopicByID(id protocol.TopicID) *Topic {
	name, ok := i.TopicNames.Lookup(id)
	if !ok {
		return nil
	}
	return i.Topics.Get(name)
}

// Partition returns a partition, or nil.
func (i *Image) Partition(tp protocol.TopicPartition) *Partition {
	t := i.Topics.Get(tp.Topic)
	if t == nil || tp.Partition < 0 || int(tp.Partition) >= len(t.Partitions) {
		return nil
	}
	return &t.Partitions[tp.Partition]
}

// Topic is one incarnation of a topic. It is immutable.
type Topic struct {
	Name       string
	ID         protocol.TopicID
	CreatedAt  int64       // milliseconds since the Unix epoch; 0 when unknown
	Partitions []Partition // by partition index, without holes
}

// Partition is the state of one partition. It is immutable.
type Partition = metadata.PartitionState

// NoLeader is the leader of a partition that has none.
const NoLeader protocol.NodeID = -1

// Endpoint is where a node listens.
type Endpoint = metadata.Endpoint

// FeatureRange is the levels of a feature that a node supports.
type FeatureRange = metadata.FeatureRange

// Broker is a registered broker. It is immutable.
type Broker struct {
	ID                   protocol.NodeID
	Epoch                protocol.BrokerEpoch // Version at which it registered
	IncarnationID        protocol.TopicID
	Endpoints            []Endpoint
	Rack                 *string
	Fenced               bool
	InControlledShutdown bool
	LogDirs              []protocol.TopicID
	CordonedDirs         []protocol.TopicID // those of LogDirs that get no new replicas
	Features             map[string]FeatureRange
	RegisteredAt         int64 // milliseconds since the Unix epoch; 0 when unknown
}

// Cordoned reports whether the broker gets no new replicas: none of its directories does.
func (b *Broker) Cordoned() bool {
	return len(b.LogDirs) > 0 && !slices.ContainsFunc(b.LogDirs, func(dir protocol.TopicID) bool {
		return !slices.Contains(b.CordonedDirs, dir)
	})
}

// Active reports whether the broker may lead and join an ISR.
func (b *Broker) Active() bool { return !b.Fenced && !b.InControlledShutdown }

// Endpoint returns the endpoint of the named listener. A broker that was registered over REST has none: what it registered is where it
// says that it is, and nobody has seen it speak Kafka's protocol there.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	if b.ByREST() {
		return Endpoint{}, false
	}
	for _, e := range b.Endpoints {
		if e.Name == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Controller is a registered controller. It is immutable.
type Controller struct {
	ID            protocol.NodeID
	IncarnationID protocol.TopicID
	DirectoryID   protocol.TopicID // of its metadata log; zero: not known
	Endpoints     []Endpoint
	Features      map[string]FeatureRange
}
