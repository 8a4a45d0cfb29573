package coordlog_test

import (
	"fmt"
	"testing"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/records"
)

// BenchmarkSubmit is what the runtime adds to an operation: one that only looks, as heartbeats do, and one that writes a
// record of the size of a committed offset.
func BenchmarkSubmit(b *testing.B) {
	key, value := make([]byte, 40), make([]byte, 24)
	for name, f := range map[string]op{
		"read": func(_ coordlog.Effects, _ *store, reply func(string)) { reply("") },
		"write": func(fx coordlog.Effects, _ *store, reply func(string)) {
			if err := fx.Append(coordlog.NewRecord(key, value)); err != nil {
				b.Error(err)
			}
			reply("")
		},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w.logs.forget = true
			w.lead(1)
			w.active()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				done := make(chan struct{}, 1)
				settled := func(string, error) { done <- struct{}{} }
				for pb.Next() {
					coordlog.Submit(w.Runtime, 0, f, settled)
					<-done
				}
			})
			b.ReportMetric(float64(w.Stats().Batches)/float64(b.N), "batches/op")
		})
	}
}

// BenchmarkLoad replays a partition of a million small records.
func BenchmarkLoad(b *testing.B) {
	const batches, each = 1000, 1000
	w := newWorld(b)
	w.logs.of(0).set(func(p *fakeLog) {
		for i := range batches {
			builder := records.NewBuilder(records.BuilderOptions{})
			for j := range each {
				builder.Append(1, fmt.Appendf(nil, "group-and-topic-%d", j), fmt.Appendf(nil, "offset-%d", i))
			}
			p.add(append(records.Batch(nil), mustBytes(builder)...))
		}
		p.committed = p.end
	})
	w.lead(1)
	b.ReportAllocs()
	for b.Loop() {
		before := w.Stats().Loads
		w.elect(self)
		eventually(b, "it is loaded", func() bool { return w.Stats().Loads > before })
	}
	b.ReportMetric(float64(batches*each)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
