package metrics

import (
	"math"
	"runtime"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	counts := make([]float64, len(durationBuckets)+1)
	counts[0], counts[3], counts[len(durationBuckets)] = 50, 40, 10 // up to 0.1 ms, from 0.5 to 1 ms, above all
	for rank, want := range map[float64]float64{25: .00005, 50: .0001, 70: .00075, 90: .001, 95: 30, 100: 30} {
		if got := quantile(rank, counts); math.Abs(got-want) > 1e-9 {
			t.Errorf("rank %v: got %v s, want %v", rank, got, want)
		}
	}
	if got := quantile(0, make([]float64, len(durationBuckets)+1)); got != durationBuckets[len(durationBuckets)-1] {
		t.Errorf("of nothing: %v", got)
	}
}

func TestIdle(t *testing.T) {
	start := time.Now()
	d := idle{since: start, share: [2]float64{1, 1}}
	quarter := time.Duration(runtime.GOMAXPROCS(0)*5) * time.Second // of 20 s of all processors
	busy := [2]time.Duration{quarter, time.Hour}
	if got := d.update(start.Add(time.Second), busy); got != [2]float64{1, 1} {
		t.Errorf("before there is anything to average: %v", got)
	}
	if got := d.update(start.Add(20*time.Second), busy); got != [2]float64{.75, 0} {
		t.Errorf("got %v, want three quarters and nothing", got)
	}
	if got := d.update(start.Add(40*time.Second), busy); got != [2]float64{1, 1} {
		t.Errorf("after a pause: %v", got)
	}
}
