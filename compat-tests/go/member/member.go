package member

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say how a member joins.
type Options struct {
	Addr     string // of the broker
	Group    string
	Topic    string
	Protocol string // classic or consumer
	Assignor string // range, roundrobin, sticky, cooperative-sticky, uniform; empty is the client's own choice
	Instance string // of a static member
	Session  time.Duration
}

// Events is where a member says what happens to it. It may be used from any goroutine.
type Events struct {
	name string
	out  *output
}

// output writes whole lines.
type output struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (o *output) line(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, format+"\n", args...)
}

// Assigned says what the member holds now.
func (e *Events) Assigned(partitions []int32) {
	list := make([]string, 0, len(partitions))
	for _, p := range slices.Sorted(slices.Values(partitions)) {
		list = append(list, strconv.Itoa(int(p)))
	}
	if len(list) == 0 {
		list = []string{"-"}
	}
	e.out.line("assigned %s %s", e.name, strings.Join(list, ","))
}

// Record says that the member was given a record.
func (e *Events) Record(partition int32, offset int64, value []byte) {
	e.out.line("record %s %d %d %s", e.name, partition, offset, value)
}

// Committed says that an offset, the next to read, is committed.
func (e *Events) Committed(partition int32, offset int64) {
	e.out.line("committed %s %d %d", e.name, partition, offset)
}

// Error says what went wrong.
func (e *Events) Error(err error) {
	if err != nil {
		e.out.line("error %s %s", e.name, strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// Join starts a member, which polls and commits until leave is called; leave returns when the client is closed.
type Join func(o Options, e *Events) (leave func() error, err error)

// Serve is a host: it obeys commands until its input ends.
func Serve(addr string, join Join, in io.Reader, out io.Writer) error {
	o := &output{w: out}
	members := map[string]func() error{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 8 && f[0] == "join":
			ms, err := strconv.Atoi(f[7])
			if err != nil {
				return err
			}
			none := func(s string) string { return strings.TrimPrefix(s, "-") }
			e := &Events{name: f[1], out: o}
			leave, err := join(Options{Addr: addr, Group: f[2], Topic: f[3], Protocol: f[4], Assignor: none(f[5]), Instance: none(f[6]), Session: time.Duration(ms) * time.Millisecond}, e)
			if err != nil {
				e.Error(err)
				continue
			}
			members[f[1]] = leave
		case len(f) == 2 && f[0] == "leave" && members[f[1]] != nil:
			end(o, f[1], members[f[1]])
			delete(members, f[1])
		default:
			return fmt.Errorf("no such command: %q", lines.Text())
		}
	}
	for name, leave := range members {
		end(o, name, leave)
	}
	return lines.Err()
}

func end(o *output, name string, leave func() error) {
	if err := leave(); err != nil {
		o.line("error %s close: %s", name, err)
	}
	o.line("left %s", name)
}

// Loop runs a member's polling in a goroutine; what it returns ends it and waits for it, and then closes the client.
func Loop(run func(ctx context.Context), closeClient func() error) (leave func() error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	return func() error {
		stop()
		<-done
		return closeClient()
	}
}

// Held keeps what a member holds, for clients that tell only of changes.
type Held struct {
	mu   sync.Mutex // guards held
	held map[int32]bool
}

// Add takes partitions in and says what the member holds now.
func (h *Held) Add(e *Events, partitions ...int32) { h.change(e, partitions, true) }

// Remove gives partitions up.
func (h *Held) Remove(e *Events, partitions ...int32) { h.change(e, partitions, false) }

func (h *Held) change(e *Events, partitions []int32, add bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[int32]bool{}
	}
	for _, p := range partitions {
		if add {
			h.held[p] = true
		} else {
			delete(h.held, p)
		}
	}
	var list []int32
	for p := range h.held {
		list = append(list, p)
	}
	e.Assigned(list)
}
