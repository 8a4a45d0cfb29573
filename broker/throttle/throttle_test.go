package throttle_test

import (
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/throttle"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  bool
	}{
		{"", false},
		{"*", true},
		{"3:1", true},
		{"0:1,3:1", true},
		{"0:1, 3:1", true},
		{"3:2,13:1,3:11", false},
	} {
		if got := throttle.Names(tt.value, 1, 3); got != tt.want {
			t.Errorf("%q: got %v", tt.value, got)
		}
	}
}

func TestMeter(t *testing.T) {
	var m throttle.Meter
	m.Set(throttle.Quota{BytesPerSec: 100, Windows: 11, Window: time.Second})
	at := func(s float64) time.Time { return time.Unix(1000, int64(s*1e9)) }
	if m.Exceeded(at(0)) {
		t.Error("exceeded by nothing")
	}
	m.Record(1000, at(0)) // what ten seconds allow
	if m.Exceeded(at(0.1)) {
		t.Error("exceeded by what ten seconds allow")
	}
	m.Record(1, at(0.2))
	if !m.Exceeded(at(9)) {
		t.Error("not exceeded by more")
	}
	if m.Exceeded(at(10.5)) {
		t.Error("still exceeded when time has passed")
	}
	m.Record(500, at(10.9))
	if !m.Exceeded(at(10.9)) || m.Exceeded(at(11)) {
		t.Error("what is older than all windows counts, or what is not does not")
	}
	m.Set(throttle.Quota{BytesPerSec: 10, Windows: 11, Window: time.Second})
	if !m.Exceeded(at(11)) {
		t.Error("a lower quota does not count")
	}
}
