package broker_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startBroker starts a broker on dir that is closed with the test.
func startBroker(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newClient(t *testing.T, b *broker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(b.Addr().String()), kgo.AllowAutoTopicCreation()}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func produce(t *testing.T, cl *kgo.Client, topic string, from, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "value-%d", from+i)}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// consume reads n records from the beginning of a topic with one partition.
func consume(t *testing.T, b *broker.Broker, topic string, n int, opts ...kgo.Opt) []string {
	t.Helper()
	cl := newClient(t, b, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(len(got)) {
				t.Fatalf("got offset %d, want %d", r.Offset, len(got))
			}
			got = append(got, string(r.Value))
		})
	}
	cl.Close()
	return got
}

func TestBroker_KeepsRecordsAcrossRestarts(t *testing.T) {
	for _, how := range []struct {
		name string
		stop func(*broker.Broker) error
	}{
		{"after a clean shutdown", func(b *broker.Broker) error { return b.Shutdown(context.Background()) }},
		{"after a crash", (*broker.Broker).Close},
	} {
		t.Run(how.name, func(t *testing.T) {
			dir := t.TempDir()
			b := startBroker(t, dir)
			cl := newClient(t, b)
			produce(t, cl, "orders", 0, 100)
			cl.Close()
			if err := how.stop(b); err != nil {
				t.Fatal(err)
			}

			b = startBroker(t, dir)
			cl = newClient(t, b)
			produce(t, cl, "orders", 100, 50)
			got := consume(t, b, "orders", 150)
			for i, v := range got {
				if want := fmt.Sprintf("value-%d", i); v != want {
					t.Fatalf("record %d: got %q, want %q", i, v, want)
				}
			}
		})
	}
}

func TestBroker_TwoInOneProcess(t *testing.T) {
	a, b := startBroker(t, t.TempDir()), startBroker(t, t.TempDir())
	if a.Addr().String() == b.Addr().String() {
		t.Fatalf("both listen on %v", a.Addr())
	}
	ca, cb := newClient(t, a), newClient(t, b)
	produce(t, ca, "same", 0, 3)
	produce(t, cb, "same", 10, 3)
	if got := consume(t, a, "same", 3); got[0] != "value-0" {
		t.Errorf("first broker: got %q", got)
	}
	if got := consume(t, b, "same", 3); got[0] != "value-10" {
		t.Errorf("second broker: got %q", got)
	}
	if a.Image().ClusterID == b.Image().ClusterID {
		t.Error("both brokers belong to one cluster")
	}
}

func TestBroker_DialWithoutSockets(t *testing.T) {
	b := startBroker(t, t.TempDir())
	dial := kgo.Dialer(b.Dial)
	cl := newClient(t, b, dial)
	produce(t, cl, "piped", 0, 5)
	if got := consume(t, b, "piped", 5, dial); len(got) != 5 {
		t.Errorf("got %q", got)
	}
}

func TestBroker_LockedDirectory(t *testing.T) {
	dir := t.TempDir()
	startBroker(t, dir)
	second, err := broker.New(broker.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err == nil {
		t.Fatal("two brokers share a directory")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestBroker_FailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	refuse := func(context.Context, string, string) (net.Listener, error) { return nil, net.ErrClosed }
	b, err := broker.New(broker.Config{Dir: dir, Listen: refuse})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err == nil {
		t.Fatal("started without a listener")
	}
	startBroker(t, dir) // the directory is free again
}
