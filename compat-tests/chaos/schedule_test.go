package chaos_test

import (
	"slices"
	"testing"
	"time"

	"github.com/distributedmq/dmq/compat-tests/chaos"
)

func TestSchedule(t *testing.T) {
	all := chaos.All()
	one, same := chaos.Schedule(7, all, 20*time.Minute), chaos.Schedule(7, all, 20*time.Minute)
	if !slices.Equal(one, same) {
		t.Error("two schedules of one seed differ")
	}
	if slices.Equal(one, chaos.Schedule(8, all, 20*time.Minute)) {
		t.Error("the schedules of two seeds are the same")
	}
	count := map[chaos.Fault]int{}
	for _, s := range one {
		count[s.Fault]++
	}
	for _, f := range all {
		if count[f] < len(one)/len(all) || count[f] > len(one)/len(all)+1 {
			t.Errorf("%s comes %d times in %d steps of %d kinds", f, count[f], len(one), len(all))
		}
	}
	if short := chaos.Schedule(1, all, 90*time.Second); len(short) < 15 {
		t.Errorf("90 s have %d faults, want 15", len(short))
	}
}

func TestParseFaults(t *testing.T) {
	got, err := chaos.ParseFaults("kill, pause")
	if err != nil || !slices.Equal(got, []chaos.Fault{chaos.Kill, chaos.Pause}) {
		t.Errorf("ParseFaults = %v, %v", got, err)
	}
	if got, err := chaos.ParseFaults(""); err != nil || len(got) != len(chaos.All()) {
		t.Errorf("ParseFaults of nothing = %v, %v", got, err)
	}
	if _, err := chaos.ParseFaults("kill,rain"); err == nil {
		t.Error("ParseFaults takes a fault that there is not")
	}
}
