package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/planted"
	"github.com/distributedmq/dmq/internal/fault"
)

// runFaults proves that planted faults are found: compat faults [-chaos] [-run NAME].
func runFaults(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("faults", flag.ContinueOnError)
	o := planted.Options{Out: os.Stdout}
	fs.BoolVar(&o.Chaos, "chaos", false, "by chaos runs as well, as root")
	fs.Uint64Var(&o.Seed, "seed", 1, "of the first chaos run")
	only := fs.String("run", "", "one fault")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if o.Chaos {
		if code, done, err := asRoot(ctx, "faults", args); done {
			return code, err
		}
	}
	if o.Only = fault.Name(*only); *only != "" && !slices.Contains(fault.All(), o.Only) {
		return 0, fmt.Errorf("unknown fault %q: one of %v", *only, fault.All())
	}
	var err error
	if o.Root, err = peer.Root(); err != nil {
		return 0, err
	}
	if o.Dir, err = os.MkdirTemp("", "compat-faults-"); err != nil {
		return 0, err
	}
	code := planted.Run(ctx, o).Close()
	return code, os.RemoveAll(o.Dir)
}
