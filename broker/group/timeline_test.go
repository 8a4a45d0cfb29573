package group

import (
	"fmt"
	"testing"
)

func TestTimeline_KeepsTheLatest(t *testing.T) {
	s := newTestState(new(Settings))
	for i := range eventsPerGroup + 7 {
		s.timelines.add("g", Event{Epoch: int32(i)})
		if last := s.timelines.latest("g"); last == nil || last.Epoch != int32(i) {
			t.Fatalf("the latest event after event %d: got %v", i, last)
		}
	}
	events := s.Timeline("g")
	if len(events) != eventsPerGroup {
		t.Fatalf("got %d events, want %d", len(events), eventsPerGroup)
	}
	for i, e := range events {
		if e.Epoch != int32(i+7) {
			t.Fatalf("event %d: got number %d, want %d", i, e.Epoch, i+7)
		}
	}
}

func TestTimeline_ForgetsTheQuietest(t *testing.T) {
	lines := newTimelines()
	name := func(i int) string { return fmt.Sprint("g", i) }
	for i := range maxTimelines {
		lines.add(name(i), Event{})
	}
	lines.add(name(0), Event{}) // not quiet any more
	lines.add("new", Event{})
	for _, tt := range []struct {
		group string
		known bool
	}{{name(0), true}, {name(1), false}, {name(2), true}, {"new", true}, {"never seen", false}} {
		if known := lines.latest(tt.group) != nil; known != tt.known {
			t.Errorf("%s is remembered: got %t, want %t", tt.group, known, tt.known)
		}
	}
	if len(lines.groups) != maxTimelines || lines.quiet.Len() != maxTimelines {
		t.Errorf("got %d and %d groups, want %d", len(lines.groups), lines.quiet.Len(), maxTimelines)
	}
}
