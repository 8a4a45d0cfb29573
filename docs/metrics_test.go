package docs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker"
)

// TestMetricsIsCurrent: the list of metrics is what a broker with a topic and a group shows.
func TestMetricsIsCurrent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := broker.New(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr().String()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "orders"}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	offsets := make(kadm.Offsets)
	offsets.AddOffset("orders", 0, 0, -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, "billing", offsets); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Collector())
	var families []*dto.MetricFamily
	for ctx.Err() == nil { // a scrape leaves out what does not answer in time
		if families, err = registry.Gather(); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "dmq_consumer_group_lag_seconds" }) {
			break
		}
	}
	check(t, "metrics.md", "metrics", metricsTable(families))
}

func metricsTable(families []*dto.MetricFamily) string {
	var out strings.Builder
	out.WriteString("| metric | labels | what |\n|---|---|---|\n")
	for _, f := range families {
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(labels, l.GetName()) {
					labels = append(labels, l.GetName())
				}
			}
		}
		slices.Sort(labels)
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.GetName(), strings.Join(labels, ", "), f.GetHelp())
	}
	return out.String()
}
