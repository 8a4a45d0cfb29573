package controller

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/placement"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

const (
	// metadataTopic is the name of Kafka's metadata log, which no topic may have.
	metadataTopic = "__cluster_metadata"
	// maxPartitions is how many partitions one request may create, as in Kafka.
	maxPartitions = 10_000
)

// createTopics decides CreateTopics. Per topic the first fault counts, in this order: twice in the request, the metadata
// log's name, bad name, name collision, exists (it beats a collision), null config, bad config, assignment, counts,
// placement.
func (d *decider) createTopics(v *view, req *kmsg.CreateTopicsRequest, now time.Time) (decision, error) {
	resp := kmsg.NewPtrCreateTopicsResponse()
	resp.Version = req.Version
	count := make(map[string]int)
	for i := range req.Topics {
		count[req.Topics[i].Topic]++
	}
	single := func(t *kmsg.CreateTopicsRequestTopic) bool { return count[t.Topic] == 1 && t.Topic != metadataTopic }
	if err := d.checkPartitionTotal(req, single); err != nil {
		return decision{}, err
	}
	// Counts and names change as topics of this request are created; the decision must leave v as it was.
	leaders := v.placeable()
	var records []metadata.Record
	for i := range req.Topics {
		t := &req.Topics[i]
		if !single(t) {
			continue
		}
		result, created, err := d.createTopic(v, leaders, t, now)
		if err != nil {
			result = failedTopic(t.Topic, err)
		}
		resp.Topics = append(resp.Topics, result)
		records = append(records, created...)
		if err := checkSize(records); err != nil {
			return decision{}, err
		}
	}
	for i := range req.Topics {
		switch name := req.Topics[i].Topic; {
		case count[name] > 1:
			resp.Topics = append(resp.Topics, failedTopic(name, errcode.New(errcode.KindInvalidRequest, "Duplicate topic name.")))
			count[name] = 0 // once
		case count[name] == 1 && name == metadataTopic:
			err := errcode.New(errcode.KindInvalidRequest, "Creation of internal topic %s is prohibited.", metadataTopic)
			resp.Topics = append(resp.Topics, failedTopic(name, err))
		}
	}
	if req.ValidateOnly {
		records = nil
	}
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

func failedTopic(name string, err error) kmsg.CreateTopicsResponseTopic {
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic = name
	t.ErrorCode, t.ErrorMessage = errcode.Of(err), errcode.Message(err)
	t.NumPartitions, t.ReplicationFactor = -1, -1
	t.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // empty, not null
	return t
}

func (d *decider) checkPartitionTotal(req *kmsg.CreateTopicsRequest, counts func(*kmsg.CreateTopicsRequestTopic) bool) error {
	total := int64(0)
	for i := range req.Topics {
		t := &req.Topics[i]
		switch {
		case !counts(t):
		case len(t.ReplicaAssignment) > 0:
			total += int64(len(t.ReplicaAssignment))
		case t.NumPartitions == -1:
			total += int64(d.settings.NumPartitions)
		case t.NumPartitions > 0:
			total += int64(t.NumPartitions)
		}
	}
	if total > maxPartitions {
		return errcode.New(errcode.KindPolicyViolation, "Excessively large number of partitions per request.")
	}
	return nil
}

// createTopic decides one topic. It raises the leader counts in brokers by what it places.
func (d *decider) createTopic(v *view, brokers []placement.Broker, t *kmsg.CreateTopicsRequestTopic, now time.Time,
) (result kmsg.CreateTopicsResponseTopic, records []metadata.Record, err error) {
	if err := checkNewName(v, t.Topic); err != nil {
		return result, nil, err
	}
	overrides, err := creationConfigs(t)
	if err != nil {
		return result, nil, err
	}
	resource := image.Resource{Type: image.ResourceTopic, Name: t.Topic}
	if len(overrides) > 0 {
		if err := d.validateConfigs(resource, overrides, sortedKeys(overrides)); err != nil {
			return result, nil, err
		}
	}
	partitions, err := d.newPartitions(v, brokers, t)
	if err != nil {
		return result, nil, err
	}
	id, err := d.newID()
	if err != nil {
		return result, nil, err
	}
	records = append(records, &metadata.TopicRecord{Name: t.Topic, ID: id, CreatedAt: now.UnixMilli()})
	for _, name := range sortedKeys(overrides) {
		value := overrides[name]
		records = append(records, &metadata.ConfigRecord{ResourceType: resource.Type, ResourceName: resource.Name, Name: name, Value: &value})
	}
	for i := range partitions {
		records = append(records, &metadata.PartitionRecord{TopicID: id, Partition: int32(i), PartitionState: partitions[i]})
		for b := range brokers {
			if brokers[b].ID == partitions[i].Leader {
				brokers[b].Leaders++
			}
		}
	}
	return d.createdTopic(v, t.Topic, id, partitions, overrides), records, nil
}

func checkNewName(v *view, name string) error {
	if v.img.Topics.Get(name) != nil { // later than the rest in Kafka's code, but it wins there
		return errcode.New(errcode.KindTopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if err := protocol.ValidateTopicName(name); err != nil {
		return err
	}
	if other, ok := v.colliding(name); ok {
		return errcode.New(errcode.KindInvalidTopicException, "Topic '%s' collides with existing topic: %s", name, other)
	}
	return nil
}

func creationConfigs(t *kmsg.CreateTopicsRequestTopic) (map[string]string, error) {
	configs := make(map[string]string, len(t.Configs))
	var nulls []string
	for _, c := range t.Configs {
		if c.Value == nil {
			nulls = append(nulls, c.Name)
		} else {
			configs[c.Name] = *c.Value
		}
	}
	if len(nulls) > 0 {
		return nil, errcode.New(errcode.KindInvalidConfig, "Null value not supported for topic configs: %s", strings.Join(nulls, ","))
	}
	return configs, nil
}

// createdTopic is the answer for a topic that is created, or would be.
func (d *decider) createdTopic(v *view, name string, id protocol.TopicID, partitions []image.Partition, overrides map[string]string,
) kmsg.CreateTopicsResponseTopic {
	r := kmsg.NewCreateTopicsResponseTopic()
	r.Topic = name
	r.TopicID = id
	r.NumPartitions = int32(len(partitions))
	r.ReplicationFactor = int16(len(partitions[0].Replicas))
	cluster := v.img.Configs[image.Resource{Type: image.ResourceBroker}] // the cluster-wide default
	for _, c := range d.schema.TopicConfigs(overrides, cluster) {
		rc := kmsg.NewCreateTopicsResponseTopicConfig()
		rc.Name, rc.ReadOnly, rc.Source, rc.IsSensitive = c.Name, c.ReadOnly, c.Source, c.Sensitive
		if !c.Sensitive {
			rc.Value = c.Value
		}
		r.Configs = append(r.Configs, rc)
	}
	return r
}

// newPartitions decides where the partitions of a new topic go.
func (d *decider) newPartitions(v *view, brokers []placement.Broker, t *kmsg.CreateTopicsRequestTopic) ([]image.Partition, error) {
	switch {
	case len(t.ReplicaAssignment) > 0:
		return assignedPartitions(v, t)
	case t.ReplicationFactor < -1 || t.ReplicationFactor == 0:
		return nil, errcode.New(errcode.KindInvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case t.NumPartitions < -1 || t.NumPartitions == 0:
		return nil, errcode.New(errcode.KindInvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	partitions, factor := t.NumPartitions, t.ReplicationFactor
	if partitions == -1 {
		partitions = d.settings.NumPartitions
	}
	if factor == -1 {
		factor = d.settings.DefaultReplicationFactor
	}
	if err := checkInternal(t.Topic, brokers, factor); err != nil {
		return nil, err
	}
	placed, err := placement.Place(slices.Clone(brokers), int(partitions), factor)
	if err != nil {
		return nil, errcode.New(errcode.KindInvalidReplicationFactor, "Unable to replicate the partition %d time(s): %s", factor, err)
	}
	out := make([]image.Partition, len(placed))
	for i, replicas := range placed {
		p, ok := newPartition(v, replicas)
		if !ok {
			return nil, allFenced(factor)
		}
		out[i] = p
	}
	return out, nil
}

// checkInternal holds the creation of an internal topic up until there are as many brokers to serve it as it has replicas: its
// clients can wait, and it is not made again when there are more.
func checkInternal(name string, brokers []placement.Broker, factor int16) error {
	if !protocol.InternalTopic(name) {
		return nil
	}
	serving := 0
	for _, b := range brokers {
		if !b.Fenced {
			serving++
		}
	}
	if serving < int(factor) {
		return errcode.New(errcode.KindInvalidReplicationFactor,
			"Unable to replicate the partition %d time(s): the internal topic %s waits until so many brokers are unfenced, and %d broker(s) are.", factor, name, serving)
	}
	return nil
}

func allFenced(factor int16) error {
	return errcode.New(errcode.KindInvalidReplicationFactor,
		"Unable to replicate the partition %d time(s): All brokers are currently fenced or in controlled shutdown.", factor)
}

// newPartition is a partition with these replicas, led by the first that is active; ok is false when none is.
func newPartition(v *view, replicas []protocol.NodeID) (p image.Partition, ok bool) {
	p = image.Partition{Replicas: replicas, Leader: image.NoLeader}
	for _, id := range replicas {
		if v.active(id) {
			p.ISR = append(p.ISR, id)
		}
		p.Directories = append(p.Directories, v.defaultDir(id))
	}
	if len(p.ISR) == 0 {
		return p, false
	}
	p.Leader = p.ISR[0]
	return p, true
}

// assignedPartitions takes the partitions of a new topic as the client assigned them.
func assignedPartitions(v *view, t *kmsg.CreateTopicsRequestTopic) ([]image.Partition, error) {
	if t.ReplicationFactor != -1 {
		return nil, errcode.New(errcode.KindInvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if t.NumPartitions != -1 {
		return nil, errcode.New(errcode.KindInvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	byIndex := make(map[int32]image.Partition)
	factor := 0
	for _, a := range t.ReplicaAssignment {
		if _, ok := byIndex[a.Partition]; ok {
			return nil, badAssignment("Found multiple manual partition assignments for partition %d", a.Partition)
		}
		replicas := nodeIDs(a.Replicas)
		if err := checkAssignment(v, replicas, factor); err != nil {
			return nil, err
		}
		factor = len(replicas)
		p, ok := newPartition(v, replicas)
		if !ok {
			return nil, assignedToFenced(a.Partition)
		}
		byIndex[a.Partition] = p
	}
	out := make([]image.Partition, len(byIndex))
	for i := range out {
		p, ok := byIndex[int32(i)]
		if !ok {
			return nil, badAssignment("partitions should be a consecutive 0-based integer sequence")
		}
		out[i] = p
	}
	return out, nil
}

func badAssignment(format string, args ...any) error {
	return errcode.New(errcode.KindInvalidReplicaAssignment, format, args...)
}

func assignedToFenced(partition int32) error {
	return badAssignment("All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", partition)
}

func nodeIDs(ids []int32) []protocol.NodeID {
	out := make([]protocol.NodeID, len(ids))
	for i, id := range ids {
		out[i] = protocol.NodeID(id)
	}
	return out
}

// checkAssignment checks the replicas a client assigned to one partition; factor 0 allows any number.
func checkAssignment(v *view, replicas []protocol.NodeID, factor int) error {
	if len(replicas) == 0 {
		return badAssignment("The manual partition assignment includes an empty replica list.")
	}
	previous := protocol.NodeID(math.MinInt32)
	for i, id := range slices.Sorted(slices.Values(replicas)) {
		if v.img.Brokers[id] == nil {
			return badAssignment("The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
		if v.img.Brokers[id].Cordoned() {
			return badAssignment("The manual partition assignment includes broker %d, but all its log directories are cordoned.", id)
		}
		if i > 0 && id == previous {
			return badAssignment("The manual partition assignment includes the broker %d more than once.", id)
		}
		previous = id
	}
	if factor > 0 && len(replicas) != factor {
		return badAssignment("The manual partition assignment includes a partition with %d replica(s), but this is not consistent "+
			"with previous partitions, which have %d replica(s).", len(replicas), factor)
	}
	return nil
}

// createPartitions decides CreatePartitions.
func (d *decider) createPartitions(v *view, req *kmsg.CreatePartitionsRequest) (decision, error) {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	resp.Version = req.Version
	add := func(name string, err error) {
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic = name
		t.ErrorCode, t.ErrorMessage = errcode.Of(err), errcode.Message(err)
		if errcode.KindOf(err) == errcode.KindUnknownTopicOrPartition {
			t.ErrorMessage = nil // Kafka has no words for it here
		}
		resp.Topics = append(resp.Topics, t)
	}
	count := make(map[string]int)
	for i := range req.Topics {
		count[req.Topics[i].Topic]++
	}
	if err := checkAdditionalTotal(v, req, count); err != nil {
		return decision{}, err
	}
	brokers := v.placeable()
	var records []metadata.Record
	for i := range req.Topics {
		t := &req.Topics[i]
		if n := count[t.Topic]; n != 1 {
			if n > 1 {
				add(t.Topic, errcode.New(errcode.KindInvalidRequest, "Duplicate topic name."))
				count[t.Topic] = 0 // once
			}
			continue
		}
		added, err := morePartitions(v, brokers, t)
		add(t.Topic, err)
		records = append(records, added...)
	}
	if req.ValidateOnly {
		records = nil
	}
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

func checkAdditionalTotal(v *view, req *kmsg.CreatePartitionsRequest, count map[string]int) error {
	total := int64(0)
	for i := range req.Topics {
		t := &req.Topics[i]
		if topic := v.img.Topics.Get(t.Topic); topic != nil && count[t.Topic] == 1 {
			total += max(0, int64(t.Count)-int64(len(topic.Partitions)))
		}
	}
	if total > maxPartitions {
		return errcode.New(errcode.KindPolicyViolation, "Excessively large number of additional partitions per request.")
	}
	return nil
}

// morePartitions decides one topic of CreatePartitions. It raises the leader counts in brokers by what it places.
func morePartitions(v *view, brokers []placement.Broker, t *kmsg.CreatePartitionsRequestTopic) ([]metadata.Record, error) {
	topic := v.img.Topics.Get(t.Topic)
	if topic == nil {
		return nil, &errcode.Error{Kind: errcode.KindUnknownTopicOrPartition}
	}
	have := len(topic.Partitions)
	switch {
	case int(t.Count) == have:
		return nil, errcode.New(errcode.KindInvalidPartitions, "Topic already has %d partition(s).", have)
	case int(t.Count) < have:
		return nil, errcode.New(errcode.KindInvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, have, t.Count)
	}
	if have == 0 {
		return nil, errcode.New(errcode.KindUnknown, "Invalid state: topic %s appears to have no partitions.", t.Topic)
	}
	additional := int(t.Count) - have
	factor := len(topic.Partitions[0].Replicas)
	var placed [][]protocol.NodeID
	if t.Assignment != nil {
		if len(t.Assignment) != additional {
			return nil, badAssignment("Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", additional, len(t.Assignment))
		}
		for i := range t.Assignment {
			replicas := nodeIDs(t.Assignment[i].Replicas)
			if err := checkAssignment(v, replicas, factor); err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(replicas, v.active) {
				return nil, assignedToFenced(int32(have + i))
			}
			placed = append(placed, replicas)
		}
	} else {
		var err error
		if placed, err = placement.Place(slices.Clone(brokers), additional, int16(factor)); err != nil {
			return nil, err
		}
	}
	records := make([]metadata.Record, 0, additional)
	for i, replicas := range placed {
		p, ok := newPartition(v, replicas)
		if !ok {
			return nil, allFenced(int16(factor))
		}
		records = append(records, &metadata.PartitionRecord{TopicID: topic.ID, Partition: int32(have + i), PartitionState: p})
		for b := range brokers {
			if brokers[b].ID == p.Leader {
				brokers[b].Leaders++
			}
		}
	}
	return records, nil
}
