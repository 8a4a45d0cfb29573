package groups

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ledger keeps the books of one group: who holds what, what was read, and what was committed.
type ledger struct {
	mu        sync.Mutex // guards the fields below
	members   map[string]*holder
	read      map[int32]map[int64]int // how often each offset was read
	committed map[int32]int64         // the highest that a member or the broker told of
	faults    []string
	errors    []string // what members complained of; shown when something failed
	changed   chan struct{}
}

// holder is a member, as far as it has told.
type holder struct {
	held   []int32
	floor  map[int32]int64 // what was committed when the member was given a partition
	turns  int             // how often its assignment changed
	joined bool
}

func newLedger() *ledger {
	return &ledger{members: map[string]*holder{}, read: map[int32]map[int64]int{}, committed: map[int32]int64{}, changed: make(chan struct{}, 1)}
}

func (l *ledger) signal() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *ledger) joined(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members[name] = &holder{floor: map[int32]int64{}, joined: true}
}

// gone notes that a member is no more: it left, or was killed.
func (l *ledger) gone(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.members, name)
	l.signal()
}

// broke notes a fault that is not the broker's.
func (l *ledger) broke(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fault)
	l.signal()
}

// hear takes in what a host said of a member.
func (l *ledger) hear(event, name, rest string) {
	switch event {
	case "left":
		l.gone(name)
		return
	case "error":
		l.mu.Lock()
		l.errors = append(l.errors, name+": "+rest)
		l.errors = l.errors[max(0, len(l.errors)-10):]
		l.mu.Unlock()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.signal()
	h := l.members[name]
	f := strings.SplitN(rest, " ", 3)
	partition, offset := int64(0), int64(0)
	if len(f) > 1 {
		partition, _ = strconv.ParseInt(f[0], 10, 32)
		offset, _ = strconv.ParseInt(f[1], 10, 64)
	}
	switch event {
	case "assigned":
		list, err := parsePartitions(rest)
		if err != nil || h == nil {
			l.faults = append(l.faults, fmt.Sprintf("%s is assigned %q: %v", name, rest, err))
			return
		}
		l.assign(h, list)
	case "record":
		l.give(name, h, int32(partition), offset)
	case "committed":
		l.commit(int32(partition), offset)
	default:
		l.faults = append(l.faults, fmt.Sprintf("%s says %q", name, event+" "+rest))
	}
}

func (l *ledger) assign(h *holder, list []int32) {
	slices.Sort(list)
	if !slices.Equal(h.held, list) {
		h.turns++
	}
	for _, p := range list {
		if !slices.Contains(h.held, p) {
			h.floor[p] = l.committed[p]
		}
	}
	h.held = list
}

func (l *ledger) give(name string, h *holder, partition int32, offset int64) {
	if l.read[partition] == nil {
		l.read[partition] = map[int64]int{}
	}
	l.read[partition][offset]++
	if h != nil && offset < h.floor[partition] {
		l.faults = append(l.faults, fmt.Sprintf("%s reads %d of partition %d, where %d was committed before it was given it", name, offset, partition, h.floor[partition]))
	}
}

func (l *ledger) commit(partition int32, offset int64) {
	l.committed[partition] = max(l.committed[partition], offset)
}

// promised is what was said to be committed so far.
func (l *ledger) promised() map[int32]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.committed)
}

// brokerSays takes in what the broker says is committed, asked after so much had been promised.
func (l *ledger) brokerSays(offsets, promised map[int32]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, o := range offsets {
		if o < promised[p] {
			l.faults = append(l.faults, fmt.Sprintf("partition %d is committed at %d, after it was at %d", p, o, promised[p]))
		}
		l.commit(p, o)
	}
}

// await waits until the books say so.
func (l *ledger) await(ctx context.Context, what string, so func() bool) error {
	for {
		l.mu.Lock()
		done, faults := so(), slices.Clone(l.faults)
		state := l.state()
		l.mu.Unlock()
		switch {
		case len(faults) > 0:
			return fmt.Errorf("%s", strings.Join(faults[:min(3, len(faults))], "\n"))
		case done:
			return nil
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w\n%s", what, ctx.Err(), state)
		}
	}
}

// state is for people; the caller holds mu.
func (l *ledger) state() string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(l.members)) {
		lines = append(lines, fmt.Sprintf("%s holds %v", name, l.members[name].held))
	}
	for _, p := range slices.Sorted(maps.Keys(l.read)) {
		lines = append(lines, fmt.Sprintf("partition %d: %d offsets read, committed %d", p, len(l.read[p]), l.committed[p]))
	}
	return strings.Join(append(lines, l.errors...), "\n")
}

// shared waits until members hold as many partitions as wanted, each partition once, and nobody else is there.
func (l *ledger) shared(ctx context.Context, want map[string]int) error {
	return l.await(ctx, fmt.Sprintf("partitions are shared as %v", want), func() bool {
		if len(l.members) != len(want) {
			return false
		}
		taken := map[int32]bool{}
		for name, n := range want {
			h := l.members[name]
			if h == nil || len(h.held) != n {
				return false
			}
			for _, p := range h.held {
				if taken[p] {
					return false
				}
				taken[p] = true
			}
		}
		return true
	})
}

// drained waits until every record below the ends was read.
func (l *ledger) drained(ctx context.Context, ends map[int32]int64) error {
	return l.await(ctx, "everything is read", func() bool {
		for p, end := range ends {
			if int64(len(l.read[p])) < end {
				return false
			}
		}
		return true
	})
}

// without waits until a member is gone.
func (l *ledger) without(ctx context.Context, name string) error {
	return l.await(ctx, name+" has left", func() bool { return l.members[name] == nil })
}

// holding is what a member holds and how often that changed.
func (l *ledger) holding(name string) (held []int32, turns int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.members[name]; h != nil {
		return slices.Clone(h.held), h.turns
	}
	return nil, 0
}

// twice is how many records were read more than once.
func (l *ledger) twice() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, offsets := range l.read {
		for _, times := range offsets {
			if times > 1 {
				n++
			}
		}
	}
	return n
}
