package docs_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/internal/testport"
)

// TestMetricsIsCurrent: the list of metrics is what two brokers with a topic and a group show.
func TestMetricsIsCurrent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	nodes := twoNodes(ctx, t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(nodes[0].Addr().String()), kgo.AllowAutoTopicCreation())
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
	var families map[string]*dto.MetricFamily
	// A scrape leaves out what does not answer in time, and what is not known yet.
	for _, awaited := range []string{
		"dmq_consumer_group_lag_seconds", "dmq_follower_max_lag", "kafka_server_fetcherlagmetrics_consumerlag", "kafka_log_log_size", "dmq_quorum_member_lag",
	} {
		for families[awaited] == nil {
			if ctx.Err() != nil {
				t.Fatalf("%s does not show", awaited)
			}
			families = scrape(t, nodes)
		}
	}
	check(t, "metrics.md", "metrics", metricsTable(families))
}

// twoNodes starts a cluster of two.
func twoNodes(ctx context.Context, t *testing.T) []*broker.Broker {
	t.Helper()
	ports, err := testport.Free(2)
	if err != nil {
		t.Fatal(err)
	}
	nodes := make([]*broker.Broker, 2)
	errs := make(chan error, len(nodes))
	for i := range nodes {
		props, _, err := config.Load(config.Sources{Set: []string{
			fmt.Sprintf("node.id=%d", i+1), fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d,2@127.0.0.1:%d", ports[0], ports[1]),
			fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:%d", ports[i]), "log.dirs=" + t.TempDir(), "dmq.admin.listen=",
		}})
		if err != nil {
			t.Fatal(err)
		}
		if nodes[i], err = broker.New(broker.Config{Properties: props}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nodes[i].Close() })
		go func() { errs <- nodes[i].Start(ctx) }()
	}
	for range nodes {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	return nodes
}

// scrape returns the families of all nodes by name.
func scrape(t *testing.T, nodes []*broker.Broker) map[string]*dto.MetricFamily {
	t.Helper()
	all := make(map[string]*dto.MetricFamily)
	for _, b := range nodes {
		registry := prometheus.NewRegistry()
		registry.MustRegister(b.Collector())
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			all[f.GetName()] = f
		}
	}
	return all
}

func metricsTable(families map[string]*dto.MetricFamily) string {
	var out strings.Builder
	out.WriteString("| metric | labels | what |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(labels, l.GetName()) {
					labels = append(labels, l.GetName())
				}
			}
		}
		slices.Sort(labels)
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", name, strings.Join(labels, ", "), f.GetHelp())
	}
	return out.String()
}
