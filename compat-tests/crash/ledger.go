package crash

import (
	"fmt"
	"sync"
)

// place is where a record lies.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// ledger is what the broker has promised. It is written by producers and consumers at once.
type ledger struct {
	mu     sync.Mutex // guards the fields below
	acked  map[place]string
	shown  map[place]string
	topics map[string][16]byte
	broken []string // promises that contradict each other
	cut    bool     // the power is being cut: what is said from now on would not have been heard
}

func newLedger() *ledger {
	return &ledger{acked: map[place]string{}, shown: map[place]string{}, topics: map[string][16]byte{}}
}

func (l *ledger) put(into map[place]string, kind string, p place, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return
	}
	if old, ok := into[p]; ok && old != value {
		l.broken = append(l.broken, fmt.Sprintf("%s %s-%d at %d twice: %s and %s", kind, p.topic, p.partition, p.offset, old, value))
	}
	into[p] = value
}

func (l *ledger) ack(p place, value string)  { l.put(l.acked, "acked", p, value) }
func (l *ledger) show(p place, value string) { l.put(l.shown, "shown", p, value) }

func (l *ledger) created(topic string, id [16]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.topics[topic] = id
	}
}

// stopListening is called right before the power is cut. A machine that loses its power says nothing afterwards; ours lives on
// for some milliseconds, in which a sync that was under way when the disk went may come back without an error.
func (l *ledger) stopListening(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *ledger) counts() (acked, shown, topics int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked), len(l.shown), len(l.topics)
}

// check compares the promises with what the broker holds now.
func (l *ledger) check(held map[place]string, topics map[string][16]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	faults := append([]string{}, l.broken...)
	lost := 0
	for kind, promised := range map[string]map[place]string{"acked": l.acked, "shown": l.shown} {
		for p, want := range promised {
			got, ok := held[p]
			switch {
			case !ok:
				lost++
				faults = append(faults, fmt.Sprintf("%s and lost: %s-%d at %d: %s", kind, p.topic, p.partition, p.offset, want))
			case got != want:
				faults = append(faults, fmt.Sprintf("%s, and replaced: %s-%d at %d: %s by %s", kind, p.topic, p.partition, p.offset, want, got))
			}
		}
	}
	for topic, id := range l.topics {
		if got, ok := topics[topic]; !ok {
			faults = append(faults, "topic was created and is gone: "+topic)
		} else if got != id {
			faults = append(faults, "topic has another id: "+topic)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d promises broken, %d records lost of %d acked and %d shown", len(faults), lost, len(l.acked), len(l.shown))
	for _, f := range faults[:min(5, len(faults))] {
		text += "\n  " + f
	}
	return fmt.Errorf("%s", text)
}
