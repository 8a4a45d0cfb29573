package api

import "testing"

func TestBudget_Some(t *testing.T) {
	b := budget{most: 100}
	for _, tt := range []struct{ ask, want, taken int64 }{
		{10, 10, 10}, {200, 22, 32}, {200, 17, 49}, {200, 12, 61}, {3, 3, 61}, {200, 9, 70}, {200, 7, 77}, {200, 5, 77}, {200, 5, 77},
	} {
		got, done := b.some(tt.ask, 5)
		if got != tt.want || b.taken.Load() != tt.taken {
			t.Errorf("%d: got %d, taken %d, want %d, taken %d", tt.ask, got, b.taken.Load(), tt.want, tt.taken)
		}
		defer done()
	}
	t.Cleanup(func() {
		if left := b.taken.Load(); left != 0 {
			t.Errorf("%d were not given back", left)
		}
	})
}

func TestBudget_TakeOne(t *testing.T) {
	b := budget{most: 100}
	if !b.takeOne(300) {
		t.Error("what is alone does not fit")
	}
	if b.takeOne(1) || b.take(1) {
		t.Error("something fits beside what is too large")
	}
	b.give(300)
	if !b.takeOne(60) || b.takeOne(60) || !b.takeOne(40) {
		t.Error("what fits is refused, or what does not is taken")
	}
}
