package schema

import (
	"bytes"
	"runtime"
	"testing"
)

// FuzzRecord: no bytes make decoding panic or need memory out of proportion, and what was decoded is encoded to something that
// decodes to the same.
func FuzzRecord(f *testing.F) {
	for _, g := range readGolden(f, "classes-kafka-4.4.0.txt") {
		f.Add(g.key, g.value)
	}
	f.Add([]byte{0, 3}, []byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if again, err := reencodeKey(key); err == nil {
			if third, err := reencodeKey(again); err != nil || !bytes.Equal(again, third) {
				t.Errorf("key %x became %x, and that %x, %v", key, again, third, err)
			}
		}
		typ, err := TypeOf(key)
		if err != nil {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, _, err := decodeValue(typ, value)
		runtime.ReadMemStats(&after)
		// Racks and empty texts weigh most: a string for one byte. What else the process allocates meanwhile is in the constant.
		if used := after.TotalAlloc - before.TotalAlloc; used > 64*uint64(len(value))+1<<20 {
			t.Errorf("%d bytes of memory for a value of %d", used, len(value))
		}
		if err != nil {
			return
		}
		once := v.Append(nil)
		w, _, err := decodeValue(typ, once)
		if err != nil {
			t.Fatalf("%s %x: encoded as %x, which is %v", typ, value, once, err)
		}
		if twice := w.Append(nil); !bytes.Equal(once, twice) {
			t.Errorf("%s %x: encoded as %x, and then as %x", typ, value, once, twice)
		}
	})
}

// FuzzSubscription: no bytes make decoding of what members say panic, and what was decoded survives being encoded.
func FuzzSubscription(f *testing.F) {
	f.Add([]byte{0, 3, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff})
	f.Add([]byte{0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeSubscription(b); err == nil {
			once := s.AppendTo(nil)
			again, err := DecodeSubscription(once)
			if err != nil || !bytes.Equal(once, again.AppendTo(nil)) {
				t.Errorf("subscription %x: encoded as %x, then as %x, %v", b, once, again.AppendTo(nil), err)
			}
		}
		if a, err := DecodeAssignment(b); err == nil {
			once := a.AppendTo(nil)
			again, err := DecodeAssignment(once)
			if err != nil || !bytes.Equal(once, again.AppendTo(nil)) {
				t.Errorf("assignment %x: encoded as %x, then as %x, %v", b, once, again.AppendTo(nil), err)
			}
		}
	})
}
