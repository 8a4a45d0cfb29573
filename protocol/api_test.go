package protocol_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/guard"
)

func TestAPIs_AgreeWithTheDecoder(t *testing.T) {
	apis := protocol.APIs()
	if !slices.IsSortedFunc(apis, func(a, b protocol.API) int { return int(a.Key - b.Key) }) {
		t.Error("the table is not sorted by key")
	}
	for _, api := range apis {
		req := kmsg.RequestForKey(api.Key)
		if req == nil {
			t.Fatalf("%s: the decoder does not know key %d", api.Name, api.Key)
		}
		name := kmsg.NameForKey(api.Key)
		if api.Key == 45 { // the decoder has a name of its own for it
			name = "AlterPartitionReassignments"
		}
		if !strings.EqualFold(name, api.Name) {
			t.Errorf("key %d: got name %s, the decoder says %s", api.Key, api.Name, name)
		}
		if api.MaxVersion > req.MaxVersion() || api.MinVersion < 0 || api.MinVersion > api.MaxVersion || api.AdvertisedMin > api.MinVersion {
			t.Errorf("%s: versions %d-%d, the decoder knows 0-%d", api.Name, api.MinVersion, api.MaxVersion, req.MaxVersion())
		}
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			req.SetVersion(v)
			if api.Flexible(v) != req.IsFlexible() {
				t.Errorf("%s v%d: got flexible %v, want %v", api.Name, v, api.Flexible(v), req.IsFlexible())
			}
			if err := guard.Check(api.Key, v, req.AppendTo(nil)); err != nil {
				t.Errorf("%s v%d: the guard does not know it: %v", api.Name, v, err)
			}
		}
		if got, ok := protocol.LookupAPI(api.Key); !ok || got != api {
			t.Errorf("LookupAPI(%d): got %+v, want %+v", api.Key, got, api)
		}
	}
	for _, key := range []int16{-1, 4, 7, 31, 1000} {
		if got, ok := protocol.LookupAPI(key); ok {
			t.Errorf("LookupAPI(%d): got %+v, want none", key, got)
		}
	}
}

func TestLookupAPI_AllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { protocol.LookupAPI(18) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
