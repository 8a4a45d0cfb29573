package groups

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Options say what Run drives.
type Options struct {
	Addr     string
	Variants []Variant
	Parallel int
	// Restart kills the broker and starts it again.
	Restart func() error
	Out     io.Writer
	Verbose bool
}

// Run plays every variant, then kills the broker under a group of each, and returns how many checks passed and failed.
func Run(ctx context.Context, o Options) (passed, failed int) {
	lives := make([]*life, len(o.Variants))
	alive := o.each(func(i int) bool {
		var err error
		if lives[i], err = newLife(ctx, o.Variants[i], o.Addr, fmt.Sprintf("groups-%d-%d", i, time.Now().UnixNano()), o.Verbose); err != nil {
			fmt.Fprintf(o.Out, "FAIL groups: %s: %v\n", o.Variants[i], err)
			return false
		}
		return lives[i].play() && lives[i].settleAgain()
	})
	if err := o.Restart(); err != nil {
		fmt.Fprintf(o.Out, "FAIL groups: restart the broker: %v\n", err)
		failed++
	}
	o.each(func(i int) bool { return alive[i] && lives[i].afterRestart() })
	for _, l := range lives {
		if l == nil {
			failed++
			continue
		}
		if err := l.close(); err != nil {
			l.r.Fail(l.String()+": close", err)
		}
		_, _ = l.out.WriteTo(o.Out)
		passed, failed = passed+l.r.Passed, failed+l.r.Failed
		fmt.Fprintf(o.Out, "groups: %-40s %2d passed, %d failed\n", l, l.r.Passed, l.r.Failed)
	}
	return passed, failed
}

// each does something for every variant, some at a time.
func (o Options) each(do func(i int) bool) []bool {
	ok := make([]bool, len(o.Variants))
	slots := make(chan struct{}, o.Parallel)
	var wg sync.WaitGroup
	for i := range o.Variants {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ok[i] = do(i)
		})
	}
	wg.Wait()
	return ok
}
