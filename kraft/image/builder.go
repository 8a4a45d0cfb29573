package image

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// ErrStaleRevision says that a conditional command was void: another command came between the decision and it.
var ErrStaleRevision = errors.New("metadata changed since the decision was taken")

// RejectedError says why a command could not be applied. The image is as if the command had never been.
type RejectedError struct {
	Record metadata.Type
	Reason string
}

// Error implements error.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("apply %s record: %s", e.Record, e.Reason)
}

// Builder turns commands into the next image. It copies what it changes and nothing else, once per batch of commands.
// Not safe for concurrent use.
type Builder struct {
	prev  *Image
	next  Image
	delta Delta
	owned struct{ brokers, controllers, configs, features bool } // maps that are ours to write to
	edits struct{ topics, topicNames tableEdit }

	fresh        map[string]*Topic             // topics that this builder made and may still write to
	last         *Topic                        // of fresh: the one that was written to last, as many records in a row do
	gone         map[protocol.TopicID]struct{} // topics of prev that were deleted
	freshConfigs map[Resource]struct{}         // the same for the configs of a resource
	applied      []appliedCommand              // since prev, to start again from when a command fails half-way
	version      int64                         // of the command being applied
}

type appliedCommand struct {
	version int64
	records []metadata.Record
}

// NewBuilder starts from prev.
func NewBuilder(prev *Image) *Builder {
	b := &Builder{}
	b.reset(prev)
	return b
}

func (b *Builder) reset(prev *Image) {
	*b = Builder{prev: prev, next: *prev, applied: b.applied[:0]}
	b.delta = Delta{Prev: prev}
}

// Image returns the state so far. It is valid until the next call of the builder.
func (b *Builder) Image() *Image { return &b.next }

// Apply applies a command at its position in the metadata log. Errors are *RejectedError or ErrStaleRevision, depend on
// nothing but the image and the command, and leave the state as it was.
func (b *Builder) Apply(version int64, c *metadata.Command) error {
	if c.Conditional && c.Revision != b.next.Revision {
		return ErrStaleRevision
	}
	if err := b.apply(version, c.Records); err != nil {
		done := slices.Clone(b.applied)
		b.reset(b.prev)
		for _, a := range done {
			if err := b.apply(a.version, a.records); err != nil {
				panic(fmt.Sprintf("invariant: command %d applied once and not twice: %v", a.version, err))
			}
		}
		return err
	}
	return nil
}

func (b *Builder) apply(version int64, records []metadata.Record) error {
	b.version = version
	for _, r := range records {
		if reason := b.applyRecord(r); reason != "" {
			return &RejectedError{Record: r.Type(), Reason: reason}
		}
	}
	b.next.Version = version
	b.next.Revision++
	b.applied = append(b.applied, appliedCommand{version, records})
	return nil
}

// Build returns the new image and what changed, and starts the next batch from that image. Without a command applied
// since the last Build it returns the previous image and nil.
func (b *Builder) Build() (*Image, *Delta) {
	if len(b.applied) == 0 {
		return b.prev, nil
	}
	next, delta := b.next, b.delta
	delta.Next = &next
	b.applied = nil
	b.reset(&next)
	return &next, &delta
}

// applyRecord returns why the record does not fit, or "".
func (b *Builder) applyRecord(r metadata.Record) string {
	switch r := r.(type) {
	case *metadata.ClusterRecord:
		return b.cluster(r)
	case *metadata.FeatureLevelRecord:
		return b.featureLevel(r)
	case *metadata.TopicRecord:
		return b.topic(r)
	case *metadata.RemoveTopicRecord:
		return b.removeTopic(r)
	case *metadata.PartitionRecord:
		return b.partition(r)
	case *metadata.PartitionChangeRecord:
		return b.partitionChange(r)
	case *metadata.ConfigRecord:
		return b.config(r)
	case *metadata.RegisterBrokerRecord:
		return b.registerBroker(r)
	case *metadata.UnregisterBrokerRecord:
		return b.unregisterBroker(r)
	case *metadata.BrokerRegistrationChangeRecord:
		return b.brokerRegistrationChange(r)
	case *metadata.ProducerIDsRecord:
		return b.producerIDs(r)
	case *metadata.RegisterControllerRecord:
		return b.registerController(r)
	default:
		panic(fmt.Sprintf("invariant: metadata record %T is decoded but not applied", r))
	}
}

func (b *Builder) cluster(r *metadata.ClusterRecord) string {
	if b.next.ClusterID != "" && b.next.ClusterID != r.ClusterID {
		return fmt.Sprintf("cluster id is %s, not %s", b.next.ClusterID, r.ClusterID)
	}
	b.next.ClusterID = r.ClusterID
	return ""
}

func (b *Builder) featureLevel(r *metadata.FeatureLevelRecord) string {
	own(&b.next.Features, &b.owned.features)
	if r.Level == 0 {
		delete(b.next.Features, r.Name)
	} else {
		b.next.Features[r.Name] = r.Level
	}
	b.next.FeaturesEpoch = b.version
	b.delta.FeaturesChanged = true
	return ""
}

func (b *Builder) topic(r *metadata.TopicRecord) string {
	if r.Name == "" || r.ID.IsZero() {
		return "topic without name or id"
	}
	if b.next.Topic(r.Name) != nil {
		return fmt.Sprintf("topic %q exists", r.Name)
	}
	if name, ok := b.next.TopicNames.Lookup(r.ID); ok {
		return fmt.Sprintf("topic id %s belongs to %q", r.ID, name)
	}
	set(&b.edits.topicNames, &b.next.TopicNames, r.ID, r.Name)
	b.setTopic(&Topic{Name: r.Name, ID: r.ID, CreatedAt: r.CreatedAt})
	return ""
}

// setTopic stores a topic that the builder made.
func (b *Builder) setTopic(t *Topic) {
	set(&b.edits.topics, &b.next.Topics, t.Name, t)
	mark(&b.fresh, t.Name, t)
	b.last = t
	mark(&b.delta.ChangedTopics, t.Name, t)
}

// writable returns a topic whose partitions may be written to, or nil.
func (b *Builder) writable(id protocol.TopicID) *Topic {
	if b.last != nil && b.last.ID == id {
		return b.last
	}
	t := b.next.TopicByID(id)
	if t == nil {
		return nil
	}
	if b.fresh[t.Name] == t {
		b.last = t
		return t
	}
	c := *t
	c.Partitions = slices.Clone(t.Partitions)
	b.setTopic(&c)
	return &c
}

func (b *Builder) removeTopic(r *metadata.RemoveTopicRecord) string {
	t := b.next.TopicByID(r.ID)
	if t == nil {
		return fmt.Sprintf("no topic has id %s", r.ID)
	}
	remove(&b.edits.topics, &b.next.Topics, t.Name)
	remove(&b.edits.topicNames, &b.next.TopicNames, t.ID)
	delete(b.fresh, t.Name)
	b.last = nil
	delete(b.delta.ChangedTopics, t.Name)
	old := b.prev.TopicByID(t.ID)
	if _, told := b.gone[t.ID]; old != nil && !told { // one created and deleted within the batch was never seen
		mark(&b.gone, t.ID, struct{}{})
		b.delta.DeletedTopics = append(b.delta.DeletedTopics, old)
	}
	resource := Resource{ResourceTopic, t.Name}
	if _, ok := b.next.Configs[resource]; ok {
		own(&b.next.Configs, &b.owned.configs)
		delete(b.next.Configs, resource)
		mark(&b.delta.ChangedConfigs, resource, struct{}{})
	}
	return ""
}

func (b *Builder) partition(r *metadata.PartitionRecord) string {
	t := b.writable(r.TopicID)
	if t == nil {
		return fmt.Sprintf("no topic has id %s", r.TopicID)
	}
	if int(r.Partition) != len(t.Partitions) {
		return fmt.Sprintf("partition %d of topic %q with %d partitions", r.Partition, t.Name, len(t.Partitions))
	}
	if len(r.Replicas) == 0 {
		return fmt.Sprintf("partition %d of topic %q without replicas", r.Partition, t.Name)
	}
	t.Partitions = append(t.Partitions, r.PartitionState)
	return ""
}

func (b *Builder) partitionChange(r *metadata.PartitionChangeRecord) string {
	t := b.writable(r.TopicID)
	if t == nil {
		return fmt.Sprintf("no topic has id %s", r.TopicID)
	}
	if r.Partition < 0 || int(r.Partition) >= len(t.Partitions) {
		return fmt.Sprintf("partition %d of topic %q with %d partitions", r.Partition, t.Name, len(t.Partitions))
	}
	Merge(&t.Partitions[r.Partition], r)
	return ""
}

// Merge applies a change to a partition.
func Merge(p *Partition, r *metadata.PartitionChangeRecord) {
	for _, f := range []struct {
		to   *[]protocol.NodeID
		from []protocol.NodeID
	}{
		{&p.ISR, r.ISR},
		{&p.ELR, r.ELR},
		{&p.LastKnownELR, r.LastKnownELR},
		{&p.Replicas, r.Replicas},
		{&p.Adding, r.Adding},
		{&p.Removing, r.Removing},
	} {
		if f.from != nil {
			*f.to = emptyIsNil(f.from)
		}
	}
	if r.Directories != nil {
		p.Directories = emptyIsNil(r.Directories)
	}
	if r.LeaderRecoveryState != nil {
		p.LeaderRecoveryState = *r.LeaderRecoveryState
	}
	if r.Leader != nil {
		p.Leader = *r.Leader
		p.LeaderEpoch++
		if r.LeaderRecoveryState != nil && *r.LeaderRecoveryState == metadata.Recovering {
			p.UncleanEpoch = p.LeaderEpoch
		}
	}
	p.PartitionEpoch++
}

func (b *Builder) config(r *metadata.ConfigRecord) string {
	resource := Resource{r.ResourceType, r.ResourceName}
	if resource.Type == ResourceTopic && b.next.Topic(resource.Name) == nil {
		return fmt.Sprintf("config of unknown topic %q", resource.Name)
	}
	configs := b.next.Configs[resource]
	if r.Value == nil && len(configs) == 0 {
		return ""
	}
	own(&b.next.Configs, &b.owned.configs)
	if _, ok := b.freshConfigs[resource]; !ok || configs == nil {
		configs = maps.Clone(configs)
		if configs == nil {
			configs = make(map[string]string)
		}
		b.next.Configs[resource] = configs
		mark(&b.freshConfigs, resource, struct{}{})
	}
	if r.Value == nil {
		delete(configs, r.Name)
	} else {
		configs[r.Name] = *r.Value
	}
	if len(configs) == 0 {
		delete(b.next.Configs, resource)
	}
	mark(&b.delta.ChangedConfigs, resource, struct{}{})
	return ""
}

func (b *Builder) registerBroker(r *metadata.RegisterBrokerRecord) string {
	epoch := r.Epoch
	if epoch == 0 {
		epoch = protocol.BrokerEpoch(b.version)
	}
	b.setBroker(&Broker{
		ID:                   r.ID,
		Epoch:                epoch,
		IncarnationID:        r.IncarnationID,
		Endpoints:            r.Endpoints,
		Rack:                 r.Rack,
		Fenced:               r.Fenced,
		InControlledShutdown: r.InControlledShutdown,
		LogDirs:              r.LogDirs,
		CordonedDirs:         r.CordonedDirs,
		Features:             r.Features,
		RegisteredAt:         r.RegisteredAt,
	})
	return ""
}

func (b *Builder) setBroker(broker *Broker) {
	own(&b.next.Brokers, &b.owned.brokers)
	b.next.Brokers[broker.ID] = broker
	mark(&b.delta.ChangedBrokers, broker.ID, struct{}{})
}

func (b *Builder) unregisterBroker(r *metadata.UnregisterBrokerRecord) string {
	if reason := b.checkBroker(r.ID, r.Epoch); reason != "" {
		return reason
	}
	own(&b.next.Brokers, &b.owned.brokers)
	delete(b.next.Brokers, r.ID)
	mark(&b.delta.ChangedBrokers, r.ID, struct{}{})
	return ""
}

func (b *Builder) checkBroker(id protocol.NodeID, epoch protocol.BrokerEpoch) string {
	broker := b.next.Brokers[id]
	if broker == nil {
		return fmt.Sprintf("broker %d is not registered", id)
	}
	if broker.Epoch != epoch {
		return fmt.Sprintf("broker %d has epoch %d, not %d", id, broker.Epoch, epoch)
	}
	return ""
}

func (b *Builder) brokerRegistrationChange(r *metadata.BrokerRegistrationChangeRecord) string {
	if reason := b.checkBroker(r.ID, r.Epoch); reason != "" {
		return reason
	}
	broker := *b.next.Brokers[r.ID]
	if r.Fenced != nil {
		broker.Fenced = *r.Fenced
	}
	if r.InControlledShutdown != nil {
		broker.InControlledShutdown = *r.InControlledShutdown
	}
	if r.LogDirs != nil {
		broker.LogDirs = emptyIsNil(r.LogDirs)
	}
	if r.CordonedDirs != nil {
		broker.CordonedDirs = emptyIsNil(r.CordonedDirs)
	}
	b.setBroker(&broker)
	return ""
}

func (b *Builder) producerIDs(r *metadata.ProducerIDsRecord) string {
	if r.NextProducerID <= b.next.NextProducerID {
		return fmt.Sprintf("next producer id %d is not above %d", r.NextProducerID, b.next.NextProducerID)
	}
	b.next.NextProducerID = r.NextProducerID
	return ""
}

func (b *Builder) registerController(r *metadata.RegisterControllerRecord) string {
	own(&b.next.Controllers, &b.owned.controllers)
	b.next.Controllers[r.ID] = &Controller{ID: r.ID, IncarnationID: r.IncarnationID, DirectoryID: r.DirectoryID, Endpoints: r.Endpoints, Features: r.Features}
	b.delta.ControllersChanged = true
	return ""
}

// own makes a map ours: a copy, the first time.
func own[K comparable, V any](m *map[K]V, owned *bool) {
	if *owned {
		return
	}
	*owned = true
	if *m == nil {
		*m = make(map[K]V)
		return
	}
	*m = maps.Clone(*m)
}

// mark notes a key in a map that may not exist yet.
func mark[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[k] = v
}

// emptyIsNil keeps one form of "none", so that images compare equal.
func emptyIsNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}
