package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
)

// A topic with cleanup.policy=compact is compacted under the eyes of a client; the cleaner is switched on while the broker runs.
func TestBroker_CompactsTopics(t *testing.T) {
	props, _, err := config.Load(config.Sources{Set: []string{
		"listeners=PLAINTEXT://127.0.0.1:0", "dmq.admin.listen=", "log.dirs=" + t.TempDir(), "log.cleaner.threads=1",
		"log.cleaner.backoff.ms=9223372036854775807",
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cl := newClient(t, b)
	admin := kadm.NewClient(cl)
	set := func(s string) *string { return &s }
	if _, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{
		"cleanup.policy": set("compact"), "internal.segment.bytes": set("2000"), "min.cleanable.dirty.ratio": set("0.01"),
	}, "compacted"); err != nil {
		t.Fatal(err)
	}
	const keys, rounds = 10, 20
	for round := range rounds {
		for key := range keys {
			r := &kgo.Record{Topic: "compacted", Key: fmt.Appendf(nil, "key-%d", key), Value: fmt.Appendf(nil, "%d %s", round, strings.Repeat("x", 100))}
			if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := scrape(t, b)["dmq_log_cleaner_passes_total,done"]; got != 0 {
		t.Fatalf("%v passes while the cleaner waits for ever", got)
	}
	if _, err := admin.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: "log.cleaner.backoff.ms", Value: set("100")}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() error {
		if n := int(scrape(t, b)["dmq_log_cleaner_removed_records_total"]); n < keys*(rounds-2)*9/10 {
			return fmt.Errorf("%d records were removed", n)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	newest := map[string]string{}
	offset, n := int64(-1), 0
	reader := newClient(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"compacted": {0: kgo.NewOffset().AtStart()}}))
	for offset < keys*rounds-1 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset <= offset {
				t.Fatalf("offset %d comes after %d", r.Offset, offset)
			}
			newest[string(r.Key)], offset, n = string(r.Value), r.Offset, n+1
		})
	}
	if n >= keys*rounds/2 {
		t.Errorf("%d records are left of %d", n, keys*rounds)
	}
	for key, value := range newest {
		if !strings.HasPrefix(value, fmt.Sprint(rounds-1)) {
			t.Errorf("%s is %.10q, want that of the last round", key, value)
		}
	}
	samples := scrape(t, b)
	for name, want := range map[string]func(v float64) bool{
		"kafka_log_logcleaner_cleaner_recopy_percent":                                  func(v float64) bool { return v > 0 && v <= 100 },
		"kafka_log_logcleaner_max_clean_time_secs":                                     func(v float64) bool { return v > 0 },
		"kafka_log_logcleaner_deadthreadcount":                                         func(v float64) bool { return v == 0 },
		"kafka_log_logcleanermanager_time_since_last_run_ms":                           func(v float64) bool { return v >= 0 },
		"kafka_log_logcleanermanager_max_dirty_percent":                                func(v float64) bool { return v >= 0 && v <= 100 },
		"kafka_log_logcleanermanager_uncleanable_partitions_count," + props.LogDirs[0]: func(v float64) bool { return v == 0 },
		"dmq_log_cleaner_read_bytes_total":                                             func(v float64) bool { return v > 20_000 },
		"dmq_log_cleaner_written_bytes_total":                                          func(v float64) bool { return v > 1000 },
	} {
		if v, ok := samples[name]; !ok || !want(v) {
			t.Errorf("%s is %v, %v", name, v, ok)
		}
	}
}
