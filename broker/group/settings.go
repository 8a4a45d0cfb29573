package group

import "time"

// Settings are the broker's properties that the coordinator follows, with Kafka's names in the comments.
type Settings struct {
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size

	OffsetMetadataMaxBytes int           // offset.metadata.max.bytes
	OffsetsRetention       time.Duration // offsets.retention.minutes
	OffsetsRetentionCheck  time.Duration // offsets.retention.check.interval.ms

	Consumer             ConsumerSettings
	ConsumerMaxSize      int             // group.consumer.max.size
	Assignors            []string        // group.consumer.assignors; the first is the default
	MigrationPolicy      MigrationPolicy // group.consumer.migration.policy
	RegexRefresh         time.Duration   // group.consumer.regex.refresh.interval.ms
	ConsumerGroupsServed bool            // the finalized group.version is at least 1
}

// ConsumerSettings are those that may be set for a single group.
type ConsumerSettings struct {
	SessionTimeout     time.Duration // group.consumer.session.timeout.ms
	HeartbeatInterval  time.Duration // group.consumer.heartbeat.interval.ms
	AssignmentInterval time.Duration // group.consumer.assignment.interval.ms
	AssignorOffload    bool          // group.consumer.assignor.offload.enable
}

// MigrationPolicy says which way groups may change their protocol while members are in them (group.consumer.migration.policy).
type MigrationPolicy uint8

// The policies.
const (
	MigrationDisabled MigrationPolicy = iota
	MigrationUpgrade
	MigrationDowngrade
	MigrationBidirectional
)
