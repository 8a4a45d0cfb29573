package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

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
	case m.Summary != nil:
		return float64(m.Summary.GetSampleCount())
	default:
		return float64(m.Histogram.GetSampleCount())
	}
}

// waitFor asks until there is no error any more, for at most a minute.
func waitFor(t *testing.T, ask func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for err := ask(); err != nil; err = ask() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
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
	want := map[string]float64{
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
		"kafka_log_log_numlogsegments,0,counted":                     1,
		"kafka_cluster_partition_atminisr,0,counted":                 1,
		"kafka_topic_partitions,counted":                             1,
		"dmq_panics_total,PLAINTEXT":                                 0,
	}
	positive := []string{
		"kafka_server_brokertopicmetrics_bytesin_total,counted", "kafka_server_brokertopicmetrics_bytesout_total,counted",
		"kafka_server_socket_server_metrics_connection_count,PLAINTEXT", "dmq_request_duration_seconds,Produce",
		"dmq_request_duration_seconds,Fetch", "kafka_network_requestmetrics_totaltimems,Produce", "kafka_log_log_size,0,counted",
		"kafka_server_brokermetadatametrics_last_applied_record_offset", "kafka_broker_info," + b.Addr().String() + ",1",
		"kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", "kafka_network_socketserver_networkprocessoravgidle_percent",
	}
	// A request is observed once its answer has been sent, so a client may know of it before the metrics do.
	waitFor(t, func() error {
		got := scrape(t, b)
		var errs []error
		for name, want := range want {
			if v, ok := got[name]; !ok || v != want {
				errs = append(errs, fmt.Errorf("%s is %v (there: %t), want %v", name, v, ok, want))
			}
		}
		for _, name := range positive {
			if got[name] <= 0 {
				errs = append(errs, fmt.Errorf("%s is %v, want more than 0", name, got[name]))
			}
		}
		return errors.Join(errs...)
	})
}
