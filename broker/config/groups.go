package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distributedmq/dmq/protocol/compress"
)

// Offsets is how __consumer_offsets is made, written and read, and for how long offsets are kept in it.
type Offsets struct {
	Partitions        int32          // offsets.topic.num.partitions
	ReplicationFactor int16          // offsets.topic.replication.factor
	SegmentBytes      int32          // offsets.topic.segment.bytes
	Codec             compress.Codec // offsets.topic.compression.codec
	CommitTimeout     time.Duration  // offsets.commit.timeout.ms
	LoadBytes         int            // offsets.load.buffer.size
	MetadataMaxBytes  int            // offset.metadata.max.bytes
	Retention         time.Duration  // offsets.retention.minutes
	RetentionCheck    time.Duration  // offsets.retention.check.interval.ms
}

// TopicConfigs are the names and values that the topic is created with.
func (o *Offsets) TopicConfigs() [][2]string {
	return [][2]string{{"cleanup.policy", "compact"}, {"compression.type", "producer"}, {"segment.bytes", strconv.Itoa(int(o.SegmentBytes))}}
}

// Groups is the configuration of the group coordinator.
type Groups struct {
	ConsumerProtocol  bool // group.coordinator.rebalance.protocols has consumer
	BackgroundThreads int  // group.coordinator.background.threads
	KeepBytes         int  // group.coordinator.cached.buffer.max.bytes

	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size

	Consumer        ConsumerGroup
	ConsumerMaxSize int           // group.consumer.max.size
	Assignors       []string      // group.consumer.assignors
	MigrationPolicy string        // group.consumer.migration.policy, in lower case
	RegexRefresh    time.Duration // group.consumer.regex.refresh.interval.ms

	consumerMin, consumerMax ConsumerGroup // what a group may set: group.consumer.min.* and max.*
}

// ConsumerGroup is what may be set for a single consumer group.
type ConsumerGroup struct {
	SessionTimeout     time.Duration // group.consumer.session.timeout.ms
	HeartbeatInterval  time.Duration // group.consumer.heartbeat.interval.ms
	AssignmentInterval time.Duration // group.consumer.assignment.interval.ms
	AssignorOffload    bool          // group.consumer.assignor.offload.enable
}

// servedAssignors are the assignors of consumer groups that there are.
var servedAssignors = []string{"uniform", "range"}

func (b *builder) offsets() Offsets {
	codec := b.int("offsets.topic.compression.codec")
	if codec < int64(compress.None) || codec > int64(compress.Zstd) {
		b.fault("offsets.topic.compression.codec", "is not the number of a codec", "use 0 none, 1 gzip, 2 snappy, 3 lz4 or 4 zstd")
		codec = 0
	}
	return Offsets{
		Partitions:        int32(b.int("offsets.topic.num.partitions")),
		ReplicationFactor: int16(b.int("offsets.topic.replication.factor")),
		SegmentBytes:      int32(b.int("offsets.topic.segment.bytes")),
		Codec:             compress.Codec(codec),
		CommitTimeout:     b.ms("offsets.commit.timeout.ms"),
		LoadBytes:         int(b.int("offsets.load.buffer.size")),
		MetadataMaxBytes:  int(b.int("offset.metadata.max.bytes")),
		Retention:         time.Duration(b.int("offsets.retention.minutes")) * time.Minute,
		RetentionCheck:    b.ms("offsets.retention.check.interval.ms"),
	}
}

func (b *builder) groupCoordinator() Groups {
	bound := func(which string) ConsumerGroup {
		return ConsumerGroup{
			SessionTimeout:     b.ms("group.consumer." + which + "session.timeout.ms"),
			HeartbeatInterval:  b.ms("group.consumer." + which + "heartbeat.interval.ms"),
			AssignmentInterval: b.ms("group.consumer." + which + "assignment.interval.ms"),
		}
	}
	g := Groups{
		ConsumerProtocol:      slices.Contains(b.list("group.coordinator.rebalance.protocols"), "consumer"),
		BackgroundThreads:     int(b.int("group.coordinator.background.threads")),
		KeepBytes:             int(b.int("group.coordinator.cached.buffer.max.bytes")),
		MinSessionTimeout:     b.ms("group.min.session.timeout.ms"),
		MaxSessionTimeout:     b.ms("group.max.session.timeout.ms"),
		InitialRebalanceDelay: b.ms("group.initial.rebalance.delay.ms"),
		MaxSize:               int(b.int("group.max.size")),
		Consumer:              bound(""),
		ConsumerMaxSize:       int(b.int("group.consumer.max.size")),
		Assignors:             b.list("group.consumer.assignors"),
		MigrationPolicy:       strings.ToLower(b.text("group.consumer.migration.policy")),
		RegexRefresh:          b.ms("group.consumer.regex.refresh.interval.ms"),
		consumerMin:           bound("min."),
		consumerMax:           bound("max."),
	}
	g.Consumer.AssignorOffload = b.bool("group.consumer.assignor.offload.enable")
	return g
}

// ConsumerGroup returns the settings of one group: its overrides, kept within the broker's bounds, over the broker's.
func (c *Config) ConsumerGroup(overrides map[string]string) ConsumerGroup {
	out := c.Groups.Consumer
	if len(overrides) == 0 {
		return out
	}
	lowest, highest := &c.Groups.consumerMin, &c.Groups.consumerMax
	for _, f := range []struct {
		name              string
		to                *time.Duration
		shortest, longest time.Duration
	}{
		{"consumer.session.timeout.ms", &out.SessionTimeout, lowest.SessionTimeout, highest.SessionTimeout},
		{"consumer.heartbeat.interval.ms", &out.HeartbeatInterval, lowest.HeartbeatInterval, highest.HeartbeatInterval},
		{"consumer.assignment.interval.ms", &out.AssignmentInterval, lowest.AssignmentInterval, highest.AssignmentInterval},
	} {
		if n, ok := c.groupValue(overrides, f.name).(int64); ok {
			*f.to = max(f.shortest, min(time.Duration(n)*time.Millisecond, f.longest))
		}
	}
	if on, ok := c.groupValue(overrides, "consumer.assignor.offload.enable").(bool); ok {
		out.AssignorOffload = on
	}
	return out
}

// groupValue parses an override of a group; nil where there is none, or none that can be understood.
func (c *Config) groupValue(overrides map[string]string, name string) any {
	text, ok := overrides[name]
	if !ok {
		return nil
	}
	v, err := c.schema.props[ScopeGroup][name].value(text)
	if err != nil {
		return nil
	}
	return v
}
