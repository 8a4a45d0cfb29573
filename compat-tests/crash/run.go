package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/distributedmq/dmq/compat-tests/disk"
	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Options say how a broker is killed and how often.
type Options struct {
	Start    func(ctx context.Context, o peer.Options) (*peer.Broker, error)
	PowerCut bool // of the disk too, not of the process alone
	Rounds   int
	Dir      string
	Out      io.Writer
}

// Run kills the broker Rounds times; each round is one check.
func Run(ctx context.Context, o Options) *report.Report {
	name := "kill -9"
	if o.PowerCut {
		name = "power cut"
	}
	r := report.New(o.Out, name)
	l := newLedger()
	var d *disk.Disk
	dataDir := filepath.Join(o.Dir, "data")
	if o.PowerCut {
		if !r.Check("disk", func() (err error) { d, err = disk.New(ctx, o.Dir); return err }) {
			return r
		}
		dataDir = filepath.Join(d.Mount, "data")
		defer func() { r.Check("disk taken down", d.Close) }()
	}
	var b *peer.Broker
	if !r.Check("start", func() (err error) {
		if b, err = o.Start(ctx, peer.Options{Dir: filepath.Join(o.Dir, "broker"), DataDir: dataDir}); err != nil {
			return err
		}
		return prepare(ctx, b.Addr, l)
	}) {
		if b != nil {
			r.Check("kill", b.Kill)
		}
		return r
	}
	for i := range o.Rounds {
		began := time.Now()
		if !r.Check(fmt.Sprintf("round %d", i+1), func() error { return round(ctx, b, d, i+1, l) }) {
			fmt.Fprintf(o.Out, "%s: the broker's log ends with\n%s\n", name, b.LogTail(10))
			break
		}
		acked, shown, topics := l.counts()
		fmt.Fprintf(o.Out, "%s %d of %d: %d records acked, %d shown, %d topics created so far, all there; %s\n", name, i+1, o.Rounds, acked, shown, topics, time.Since(began).Round(10*time.Millisecond))
	}
	r.Check("something was promised", func() error {
		if acked, shown, topics := l.counts(); acked < 100*o.Rounds || shown == 0 || topics <= loadTopics {
			return fmt.Errorf("only %d records acked, %d shown, %d topics created", acked, shown, topics)
		}
		return nil
	})
	r.Check("stop", b.Kill)
	return r
}

// underLoad returns at a random moment after the round's first few hundred promises.
func underLoad(ctx context.Context, l *ledger) error {
	before, _, _ := l.counts()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; {
		if acked, _, _ := l.counts(); acked >= before+300 {
			break
		}
		if time.Now().After(end) {
			return errors.New("the broker acknowledges nothing")
		}
		<-tick.C
	}
	select {
	case <-time.After(time.Duration(100+rand.IntN(1000)) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round puts the broker under load, kills it, restarts it and checks the ledger.
func round(ctx context.Context, b *peer.Broker, d *disk.Disk, n int, l *ledger) error {
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() { load(loadCtx, b.Addr, n, l); close(done) }()
	err := underLoad(ctx, l)
	if d != nil {
		l.stopListening(true)
		err = errors.Join(err, d.Cut())
	}
	err = errors.Join(err, b.Kill())
	stop()
	<-done
	l.stopListening(false)
	if err != nil {
		return err
	}
	if d != nil {
		if err := errors.Join(d.Down(ctx), d.Up(ctx)); err != nil {
			return err
		}
	}
	if err := b.Restart(ctx); err != nil {
		return err
	}
	got, topics, err := held(ctx, b.Addr)
	if err != nil {
		return err
	}
	return l.check(got, topics)
}
