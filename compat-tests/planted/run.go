package planted

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/chaos"
	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/report"
	"github.com/distributedmq/dmq/internal/fault"
)

// Options say what is proved.
type Options struct {
	Root  string     // of the repository
	Dir   string     // for programs and runs
	Only  fault.Name // "": all
	Chaos bool       // in chaos runs as well
	Seed  uint64     // of the first run
	Out   io.Writer
}

// Run proves each fault to be found; each proof is one check.
func Run(ctx context.Context, o Options) *report.Report {
	r := report.New(o.Out, "planted faults")
	rooms := &rooms{root: o.Root, dir: o.Dir, bins: map[string]string{}}
	proofs := Proofs()
	r.Check("every fault has a proof", func() error {
		for _, name := range fault.All() {
			if !slices.ContainsFunc(proofs, func(p Proof) bool { return p.Fault == name }) {
				return fmt.Errorf("%s has none", name)
			}
		}
		return nil
	})
	for _, p := range proofs {
		if o.Only != "" && o.Only != p.Fault {
			continue
		}
		if r.Check(string(p.Fault)+" in its room", func() error { return rooms.find(ctx, p) }) {
			fmt.Fprintf(o.Out, "%-24s found by tests of %s\n", p.Fault, p.Package)
		}
	}
	if !o.Chaos {
		return r
	}
	if err := chaos.CanIsolate(ctx); err != nil {
		fmt.Fprintf(o.Out, "NOT RUN: planted faults in chaos: %v\n", err)
		return r
	}
	bin := filepath.Join(o.Dir, "dmq")
	if !r.Check("build dmq with the faults in it", func() error { return peer.Build(ctx, o.Root, bin, "-tags", "faults") }) {
		return r
	}
	for _, p := range proofs {
		if p.Runs != nil && (o.Only == "" || o.Only == p.Fault) {
			r.Check(string(p.Fault)+" in chaos", func() error { return provoke(ctx, o, bin, p) })
		}
	}
	return r
}

// provoke runs chaos until the fault is found.
func provoke(ctx context.Context, o Options, bin string, p Proof) error {
	began := time.Now()
	for i := range p.Runs.Most {
		dir, err := os.MkdirTemp(o.Dir, "run-")
		if err != nil {
			return err
		}
		var said strings.Builder
		_, fig := chaos.Run(ctx, chaos.Options{
			Binary: bin, Dir: dir, Env: []string{fault.Variable + "=" + string(p.Fault)}, Properties: p.Runs.Properties,
			Seed: o.Seed + uint64(i), Duration: p.Runs.Duration, Faults: p.Runs.Faults, OneByOne: p.Runs.OneByOne, Rate: 400, Out: &said,
		})
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if fig == nil {
			return fmt.Errorf("the cluster does not come up\n%s", tail(said.String(), 20))
		}
		if found := fig.Broken(); found != "" {
			fmt.Fprintf(o.Out, "%-24s found by run %d of chaos, after %s: %s\n", p.Fault, i+1, time.Since(began).Round(time.Second), found)
			return nil
		}
	}
	return fmt.Errorf("not found in %d runs of %s", p.Runs.Most, p.Runs.Duration)
}
