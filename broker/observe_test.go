package broker_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/distributedmq/dmq/broker"
)

// scrape returns every sample of a broker by name and labels, as name{value,value}.
func scrape(t *testing.T, b *broker.Broker) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := registry.Register(b.Collector()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "," + l.GetValue()
			}
			samples[name] = value(m)
		}
	}
	return samples
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	default:
		return float64(m.Histogram.GetSampleCount())
	}
}

func TestBroker_MetricsUnderKafkasNames(t *testing.T) {
	b, err := broker.New(broker.Config{Dir: t.TempDir(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	if got := scrape(t, b)["dmq_ready"]; got != 0 {
		t.Errorf("dmq_ready is %v before the start", got)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cl := newClient(t, b)
	produce(t, cl, "counted", 0, 7)
	consume(t, b, "counted", 7)
	got := scrape(t, b)
	for name, want := range map[string]float64{
		"dmq_ready": 1,
		"kafka_server_brokertopicmetrics_messagesin_total,counted":   7,
		"kafka_server_replicamanager_leadercount":                    1,
		"kafka_server_replicamanager_partitioncount":                 1,
		"kafka_server_replicamanager_underreplicatedpartitions":      0,
		"kafka_controller_kafkacontroller_activecontrollercount":     1,
		"kafka_controller_kafkacontroller_globaltopiccount":          1,
		"kafka_controller_kafkacontroller_activebrokercount":         1,
		"kafka_controller_kafkacontroller_offlinepartitionscount":    0,
		"kafka_log_log_logendoffset,0,counted":                       7,
		"kafka_topic_partition_current_offset,0,counted":             7,
		"kafka_topic_partition_under_replicated_partition,0,counted": 0,
		"kafka_log_logmanager_offlinelogdirectorycount":              0,
		"kafka_server_raftmetrics_current_leader":                    1,
		"dmq_panics_total,PLAINTEXT":                                 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %t), want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{
		"kafka_server_brokertopicmetrics_bytesin_total,counted", "kafka_server_brokertopicmetrics_bytesout_total,counted",
		"kafka_server_socket_server_metrics_connection_count,PLAINTEXT", "dmq_request_duration_seconds,Produce", "kafka_log_log_size,0,counted",
	} {
		if got[name] <= 0 {
			t.Errorf("%s is %v, want more than 0", name, got[name])
		}
	}
}
