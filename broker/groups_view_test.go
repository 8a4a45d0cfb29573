package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// produceAt appends a batch for each timestamp.
func produceAt(t *testing.T, cl *kgo.Client, topic string, times ...time.Time) {
	t.Helper()
	for _, at := range times {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Timestamp: at}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, adm *kadm.Client, groupID, topic string, offset int64) {
	t.Helper()
	offsets := make(kadm.Offsets)
	offsets.AddOffset(topic, 0, offset, -1)
	if err := adm.CommitAllOffsets(t.Context(), groupID, offsets); err != nil {
		t.Fatal(err)
	}
}

// TestGroups_Behind: the first record that is not consumed says how far a group is behind.
func TestGroups_Behind(t *testing.T) {
	b := startBroker(t, t.TempDir())
	cl := newClient(t, b)
	adm := kadm.NewClient(cl)
	now := time.Now()
	produceAt(t, cl, "orders", now.Add(-3*time.Hour), now.Add(-2*time.Hour), now.Add(-time.Hour))
	if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"message.timestamp.type": new("LogAppendTime")}, "stamped"); err != nil {
		t.Fatal(err)
	}
	produceAt(t, cl, "stamped", now.Add(-3*time.Hour))
	cut := make(kadm.Offsets)
	cut.AddOffset("orders", 0, 1, -1)
	if _, err := adm.DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, topic string
		committed   int64
		lag         int64
		atLeast     time.Duration // behind, and less than an hour more
	}{
		{"at the end", "orders", 3, 0, 0},
		{"one record", "orders", 2, 1, time.Hour},
		{"below the start of the log", "orders", 0, 3, 2 * time.Hour},
		{"stamped by the broker", "stamped", 0, 1, 0},
		{"a commit beyond the end", "orders", 9, 0, 0},
	} {
		commit(t, adm, tt.name, tt.topic, tt.committed)
		found, partitions, err := b.Groups().Describe(t.Context(), tt.name)
		if err != nil || len(partitions) != 1 || found.State != "Empty" {
			t.Fatalf("%s: %v, %v, %v", tt.name, found, partitions, err)
		}
		if got := partitions[0]; got.Lag != tt.lag || got.Behind < tt.atLeast || got.Behind >= tt.atLeast+time.Hour {
			t.Errorf("%s: lag %d, %s behind; want %d, and at least %s", tt.name, got.Lag, got.Behind, tt.lag, tt.atLeast)
		}
	}
}

func TestGroups_MetricsAndViews(t *testing.T) {
	b := startBroker(t, t.TempDir())
	ctx := t.Context()
	if list, err := b.Groups().List(ctx); err != nil || len(list) != 0 {
		t.Errorf("before any group: %v, %v", list, err)
	}
	if _, err := b.Groups().Timeline(ctx, "billing"); errcode.KindOf(err) != errcode.KindGroupIDNotFound {
		t.Errorf("before any group: %v", err)
	}
	if _, ok := b.Groups().Coordinator("billing"); ok {
		t.Error("a group has a coordinator before there is a topic for it")
	}
	cl := newClient(t, b)
	adm := kadm.NewClient(cl)
	produce(t, cl, "orders", 0, 5)
	commit(t, adm, "billing", "orders", 2)
	list, err := b.Groups().List(ctx)
	for deadline := time.Now().Add(time.Minute); errcode.KindOf(err) == errcode.KindCoordinatorLoadInProgress && time.Now().Before(deadline); {
		list, err = b.Groups().List(ctx)
	}
	if err != nil || len(list) != 1 || list[0].ID != "billing" || list[0].Type != "classic" {
		t.Errorf("list %v, %v", list, err)
	}
	if id, ok := b.Groups().Coordinator("billing"); !ok || id != 1 {
		t.Errorf("coordinator %d, %t", id, ok)
	}
	if _, _, err := b.Groups().Describe(ctx, "nobody"); errcode.KindOf(err) != errcode.KindGroupIDNotFound {
		t.Errorf("a group that there is not: %v", err)
	}
	if events, err := b.Groups().Timeline(ctx, "billing"); err != nil {
		t.Errorf("timeline %v, %v", events, err)
	}
	got := scrape(t, b)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); got = scrape(t, b) { // what does not answer in time is left out
		if _, ok := got["dmq_consumer_group_lag_seconds,billing,orders"]; ok && got["kafka_server_group_coordinator_metrics_num_partitions,active"] == 50 {
			break
		}
	}
	for name, want := range map[string]float64{
		"kafka_consumergroup_current_offset,billing,0,orders":              2,
		"kafka_consumergroup_lag,billing,0,orders":                         3,
		"kafka_consumergroup_current_offset_sum,billing,orders":            2,
		"kafka_consumergroup_lag_sum,billing,orders":                       3,
		"kafka_consumergroup_members,billing":                              0,
		"kafka_server_group_coordinator_metrics_group_count,classic":       1,
		"kafka_server_group_coordinator_metrics_classic_group_count,Empty": 1,
		"kafka_server_group_coordinator_metrics_offset_commit_count":       1,
		"kafka_server_group_coordinator_metrics_num_partitions,active":     50,
		"kafka_server_group_coordinator_metrics_offset_count":              1,
		"dmq_metrics_truncated":                                            0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %t), want %v", name, v, ok, want)
		}
	}
	if v, ok := got["dmq_consumer_group_lag_seconds,billing,orders"]; !ok || v < 0 || v > 3600 {
		t.Errorf("lag in seconds is %v (there: %t)", v, ok)
	}
	if _, err := adm.DeleteGroup(ctx, "billing"); err != nil {
		t.Fatal(err)
	}
	events, err := b.Groups().Timeline(ctx, "billing")
	if err != nil || len(events) == 0 || events[len(events)-1].Kind != group.GroupDeleted {
		t.Errorf("the timeline of a deleted group is %v, %v", events, err)
	}
}

func TestGroups_NotRunning(t *testing.T) {
	b, err := broker.New(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	_, listErr := b.Groups().List(t.Context())
	_, _, describeErr := b.Groups().Describe(t.Context(), "billing")
	_, timelineErr := b.Groups().Timeline(t.Context(), "billing")
	for _, err := range []error{listErr, describeErr, timelineErr} {
		if errcode.KindOf(err) != errcode.KindCoordinatorNotAvailable {
			t.Errorf("before the start: %v", err)
		}
	}
}
