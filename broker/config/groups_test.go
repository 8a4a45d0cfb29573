package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/protocol/compress"
)

func loadWith(t *testing.T, set ...string) *config.Config {
	t.Helper()
	c, _, err := config.Load(config.Sources{Set: append([]string{"log.dirs=/d"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGroups_Defaults(t *testing.T) {
	c := loadWith(t)
	wantOffsets := config.Offsets{
		Partitions: 50, ReplicationFactor: 1, SegmentBytes: 104857600, Codec: compress.None, CommitTimeout: 5 * time.Second,
		LoadBytes: 5 << 20, MetadataMaxBytes: 4096, Retention: 7 * 24 * time.Hour, RetentionCheck: 10 * time.Minute,
	}
	if d := cmp.Diff(wantOffsets, c.Offsets); d != "" {
		t.Errorf("offsets (-want +got)\n%s", d)
	}
	g := c.Groups
	if !g.ConsumerProtocol || g.BackgroundThreads != 2 || g.KeepBytes != 1048588 || g.MaxSize != 1<<31-1 || g.ConsumerMaxSize != 1<<31-1 ||
		g.MinSessionTimeout != 6*time.Second || g.MaxSessionTimeout != 30*time.Minute || g.InitialRebalanceDelay != 3*time.Second ||
		g.MigrationPolicy != "bidirectional" || g.RegexRefresh != 10*time.Minute || !cmp.Equal(g.Assignors, []string{"uniform", "range"}) {
		t.Errorf("got %+v", g)
	}
	want := config.ConsumerGroup{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second, AssignmentInterval: time.Second, AssignorOffload: true}
	if g.Consumer != want {
		t.Errorf("got %+v", g.Consumer)
	}
}

// What is set for one group counts, within the broker's bounds, which may have changed since it was set.
func TestConsumerGroup(t *testing.T) {
	c := loadWith(t, "group.consumer.max.heartbeat.interval.ms=10000", "group.consumer.min.session.timeout.ms=30000")
	for _, tt := range []struct {
		name      string
		overrides map[string]string
		want      config.ConsumerGroup
	}{
		{"nothing", nil, c.Groups.Consumer},
		{"of others", map[string]string{"share.session.timeout.ms": "50000"}, c.Groups.Consumer},
		{
			"everything",
			map[string]string{
				"consumer.session.timeout.ms": "50000", "consumer.heartbeat.interval.ms": "6000", "consumer.assignment.interval.ms": "0", "consumer.assignor.offload.enable": "false",
			},
			config.ConsumerGroup{SessionTimeout: 50 * time.Second, HeartbeatInterval: 6 * time.Second},
		},
		{
			"out of bounds",
			map[string]string{"consumer.session.timeout.ms": "1", "consumer.heartbeat.interval.ms": "14000", "consumer.assignment.interval.ms": "16000"},
			config.ConsumerGroup{SessionTimeout: 30 * time.Second, HeartbeatInterval: 10 * time.Second, AssignmentInterval: 15 * time.Second, AssignorOffload: true},
		},
		{"not understood", map[string]string{"consumer.session.timeout.ms": "soon"}, c.Groups.Consumer},
	} {
		if d := cmp.Diff(tt.want, c.ConsumerGroup(tt.overrides)); d != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, d)
		}
	}
}

func TestGroups_Dynamic(t *testing.T) {
	c := loadWith(t).WithDynamic(config.Dynamic{Cluster: map[string]string{
		"group.consumer.assignment.interval.ms": "0", "group.coordinator.cached.buffer.max.bytes": "600000",
		"group.max.size": "5", // not dynamic
	}})
	if g := c.Groups; g.Consumer.AssignmentInterval != 0 || g.KeepBytes != 600000 || g.MaxSize == 5 {
		t.Errorf("got %+v", g)
	}
}

func TestGroups_Faults(t *testing.T) {
	for set, want := range map[string]string{
		"offsets.topic.compression.codec=7":                   "is not the number of a codec",
		"offsets.topic.compression.codec=-1":                  "is not the number of a codec",
		"group.consumer.assignors=uniform,sticky":             "sticky is not an assignor of consumer groups",
		"group.share.heartbeat.interval.ms=45001":             "group.share.heartbeat.interval.ms must be less than or equal to group.share.max.heartbeat.interval.ms",
		"group.consumer.migration.policy=sometimes":           "string must be one of",
		"group.consumer.max.heartbeat.interval.ms=4000":       "must be less than or equal to group.consumer.max.heartbeat.interval.ms",
		"group.coordinator.cached.buffer.max.bytes=1":         "value must be at least 524288",
		"group.coordinator.rebalance.protocols=classic,other": "other",
	} {
		_, _, err := config.Load(config.Sources{Set: []string{"log.dirs=/d", set}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", set, err, want)
		}
	}
	_, _, err := config.Load(config.Sources{Set: []string{"log.dirs=/d", "group.consumer.min.session.timeout.ms=3000", "group.consumer.session.timeout.ms=4000"}})
	if want := "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestValidateGroup_SessionsAreLongerThanHeartbeats(t *testing.T) {
	c := loadWith(t, "group.consumer.min.session.timeout.ms=5000", "group.consumer.max.heartbeat.interval.ms=40000")
	for _, tt := range []struct {
		overrides map[string]string
		want      string
	}{
		{map[string]string{"consumer.session.timeout.ms": "6000"}, ""},
		{map[string]string{"consumer.session.timeout.ms": "5000"}, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"},
		{map[string]string{"consumer.session.timeout.ms": "6000", "consumer.heartbeat.interval.ms": "7000"}, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"},
		{map[string]string{"consumer.heartbeat.interval.ms": "40000"}, ""},
		{map[string]string{"consumer.heartbeat.interval.ms": "40001"}, "consumer.heartbeat.interval.ms must be in the range 5000 to 40000 inclusive."},
	} {
		err := c.ValidateGroup(tt.overrides, config.Dynamic{})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%v: got %v", tt.overrides, err)
		case tt.want != "" && (err == nil || err.Error() != tt.want):
			t.Errorf("%v: got %v, want %q", tt.overrides, err, tt.want)
		}
	}
}
