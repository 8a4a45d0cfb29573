package scenarios

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/admin/api"
)

// FigureOptions says how much is measured.
type FigureOptions struct {
	Bin, Dir string
	Rounds   int           // of what is measured one by one
	Duration time.Duration // of what is counted
	Clients  int           // at a time, of what is counted
	Out      io.Writer
}

// Figures measures, with three controllers and two brokers, what the original gave figures for.
func Figures(ctx context.Context, o FigureOptions) (err error) {
	t, err := NewTopology(o.Bin, o.Dir, 3, 2, Timers{Heartbeat: 5 * time.Second, Timeout: 30 * time.Second})
	if err != nil {
		return err
	}
	p := &play{t: t, o: Options{Timers: t.Timers, Out: o.Out}}
	defer func() {
		if closeErr := t.Close(); err == nil {
			err = closeErr
		}
	}()
	for _, n := range t.Controllers {
		if err := n.Start(); err != nil {
			return err
		}
	}
	f := &figures{o: o, p: p}
	if err := f.discovery(ctx); err != nil {
		return err
	}
	if f.leader, _, err = p.controller(ctx, t.Controllers...); err != nil {
		return err
	}
	if _, err := ask[api.BrokerInfo](ctx, f.leader, http.MethodPost, "/metadata/brokers", `{"id":201,"host":"127.0.0.1","port":1}`, http.StatusOK); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{f.heartbeats, f.oneByOne, f.pull, f.commits, f.memory, f.failover, f.manyTopics, f.memory} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

type figures struct {
	o      FigureOptions
	p      *play
	leader *Node
}

// times shows a median, p99 and the original's median, with the ratio.
func (f *figures) times(what string, took []time.Duration, original time.Duration, note string) {
	slices.Sort(took)
	median, p99 := took[len(took)/2], took[min(len(took)-1, len(took)*99/100)]
	fmt.Fprintf(f.o.Out, "%-54s %9.2f ms  p99 %9.2f ms   original %8.0f ms %-14s %6.0f times\n", what, ms(median), ms(p99), ms(original), note, float64(original)/float64(median))
}

// rate shows how many per second.
func (f *figures) rate(what string, perSecond, original float64) {
	fmt.Fprintf(f.o.Out, "%-54s %9.0f /s                      original %8.0f /s %-14s %6.0f times\n", what, perSecond, original, "", perSecond/original)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure times something again and again.
func (f *figures) measure(ctx context.Context, do func(ctx context.Context, round int) error) ([]time.Duration, error) {
	var took []time.Duration
	for round := range f.o.Rounds {
		began := time.Now()
		if err := do(ctx, round); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// count runs something on many clients for a while, and returns how often per second it was done.
func (f *figures) count(ctx context.Context, do func(ctx context.Context, client, round int) error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.o.Duration)
	defer cancel()
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	began := time.Now()
	for client := range f.o.Clients {
		running.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				if err := do(ctx, client, round); err != nil {
					if ctx.Err() == nil {
						failed.Store(&err)
					}
					return
				}
				done.Add(1)
			}
		})
	}
	running.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// discovery starts a broker again and again, empty and not.
func (f *figures) discovery(ctx context.Context) error {
	leader, _, err := f.p.controller(ctx, f.p.t.Controllers...)
	if err != nil {
		return err
	}
	var took []time.Duration
	for range max(3, f.o.Rounds/20) {
		for _, b := range f.p.t.Brokers {
			if err := b.Kill(); err != nil {
				return err
			}
			if b.exited != nil {
				if _, err := awaitStatus(ctx, b.ID, "OFFLINE", leader); err != nil {
					return err
				}
			}
			began := time.Now()
			if err := b.Start(); err != nil {
				return err
			}
			if _, err := awaitStatus(ctx, b.ID, "ONLINE", leader); err != nil {
				return err
			}
			took = append(took, time.Since(began))
		}
	}
	f.times("discovery: process started, to registered and ONLINE", took, 1500*time.Millisecond, "(p99 4 s)")
	return nil
}

func (f *figures) heartbeats(ctx context.Context) error {
	beat := func(ctx context.Context) error {
		_, err := ask[api.HeartbeatAnswer](ctx, f.leader, http.MethodPost, "/metadata/heartbeat/201", "", http.StatusOK)
		return err
	}
	took, err := f.measure(ctx, func(ctx context.Context, _ int) error { return beat(ctx) })
	if err != nil {
		return err
	}
	f.times("heartbeat over REST, leadership verified", took, 50*time.Millisecond, "(p99 120 ms)")
	rate, err := f.count(ctx, func(ctx context.Context, _, _ int) error { return beat(ctx) })
	if err != nil {
		return err
	}
	f.rate(fmt.Sprintf("heartbeats over REST, %d clients", f.o.Clients), rate, 200)
	return nil
}

func (f *figures) create(ctx context.Context, name string) error {
	_, err := ask[api.Topic](ctx, f.leader, http.MethodPost, "/metadata/topics", fmt.Sprintf(`{"topicName":%q,"numPartitions":3,"replicationFactor":2}`, name), http.StatusCreated)
	return err
}

func (f *figures) oneByOne(ctx context.Context) error {
	took, err := f.measure(ctx, func(ctx context.Context, round int) error { return f.create(ctx, fmt.Sprint("one-", round)) })
	if err != nil {
		return err
	}
	f.times("topic creation, 3 partitions, 2 replicas", took, 200*time.Millisecond, "(p99 500 ms)")
	return nil
}

func (f *figures) manyTopics(ctx context.Context) error {
	rate, err := f.count(ctx, func(ctx context.Context, client, round int) error {
		return f.create(ctx, fmt.Sprint("many-", client, "-", round))
	})
	if err != nil {
		return err
	}
	f.rate(fmt.Sprintf("topic creations, %d clients", f.o.Clients), rate, 5)
	return nil
}

// pull reads all metadata from a broker.
func (f *figures) pull(ctx context.Context) error {
	var partitions int
	took, err := f.measure(ctx, func(ctx context.Context, _ int) error {
		m, err := get[api.ClusterMetadata](ctx, f.p.t.Brokers[0], "/metadata/cluster")
		partitions = m.TotalPartitions
		return err
	})
	if err != nil {
		return err
	}
	f.times(fmt.Sprintf("metadata pull, %d partitions", partitions), took, 100*time.Millisecond, "")
	took, err = f.measure(ctx, func(ctx context.Context, _ int) error {
		_, err := get[api.Topic](ctx, f.p.t.Brokers[0], "/metadata/topics/one-0")
		return err
	})
	if err != nil {
		return err
	}
	f.times("one topic with its offsets", took, 100*time.Millisecond, "")
	return nil
}

// commits changes a setting, which is one command of the metadata log, synced by a majority.
func (f *figures) commits(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.p.t.Brokers[0].Kafka))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	took, err := f.measure(ctx, func(ctx context.Context, round int) error {
		value := fmt.Sprint(1_000_000 + round)
		responses, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, "one-0")
		if err != nil {
			return err
		}
		return responses[0].Err
	})
	if err != nil {
		return err
	}
	f.times("metadata change by a broker, synced by a majority", took, 100*time.Millisecond, "(raft commit)")
	rate, err := f.count(ctx, func(ctx context.Context, client, round int) error {
		value := fmt.Sprint(1_000_000 + round)
		responses, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, fmt.Sprint("one-", client))
		if err != nil {
			return err
		}
		return responses[0].Err
	})
	if err != nil {
		return err
	}
	f.rate(fmt.Sprintf("metadata changes, %d clients", f.o.Clients), rate, 10)
	return nil
}

func (f *figures) memory(ctx context.Context) error {
	s, err := get[api.StateMachineStats](ctx, f.leader, "/raft/state-machine/stats")
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		what     string
		nodes    []*Node
		original int64
	}{{"memory of a controller", f.p.t.Controllers, 250}, {"memory of a broker", f.p.t.Brokers, 200}} {
		var resident, own int64
		for _, n := range kind.nodes {
			all, private, err := n.memory()
			if err != nil {
				return err
			}
			resident, own = max(resident, all), max(own, private)
		}
		what := fmt.Sprintf("%s, the largest, %d partitions", kind.what, s.PartitionCount)
		f.memoryLine(what, resident, kind.original)
		f.memoryLine("- without the pages of the program's file", own, kind.original)
	}
	return nil
}

func (f *figures) memoryLine(what string, bytes, original int64) {
	mb := float64(bytes) / 1e6
	fmt.Fprintf(f.o.Out, "%-54s %9.1f MB                      original %8d MB %-14s %6.1f times\n", what, mb, original, "", float64(original)/mb)
}

// failover kills the controller again and again.
func (f *figures) failover(ctx context.Context) error {
	var elected, told []time.Duration
	for range max(3, f.o.Rounds/20) {
		leader, _, err := f.p.controller(ctx, f.p.t.Controllers...)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := leader.Kill(); err != nil {
			return err
		}
		next, term, err := f.p.controller(ctx, without(f.p.t.Controllers, leader)...)
		if err != nil {
			return err
		}
		elected = append(elected, time.Since(began))
		_, err = until(ctx, "brokers beat to the new controller", func(ctx context.Context) error {
			for _, b := range f.p.t.Brokers {
				h, err := get[api.Health](ctx, b, "/storage/health")
				if err != nil || h.CurrentController != next.ID || h.LastHeartbeatTime < began.UnixMilli() {
					return fmt.Errorf("broker %d: %+v: %w", b.ID, h, err)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("term %d: %w", term, err)
		}
		told = append(told, time.Since(began))
		f.leader = next
		if err := leader.Start(); err != nil {
			return err
		}
		if _, _, err := f.p.controller(ctx, f.p.t.Controllers...); err != nil {
			return err
		}
	}
	f.times("election: controller killed, to the next one", elected, 6500*time.Millisecond, "(5-8 s)")
	f.times("failover: to every broker told and beating to it", told, 12500*time.Millisecond, "(10-15 s)")
	return nil
}
