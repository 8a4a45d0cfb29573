package chaos

import (
	"testing"

	"github.com/distributedmq/dmq/compat-tests/history"
)

func TestPayload(t *testing.T) {
	for size := range 40 {
		v := history.NewValue(3, int64(size+1))
		b := payload(v, size)
		if len(b) != payloadHead+size || valueOf(b) != v {
			t.Fatalf("a payload of %d bytes is of %s", size, valueOf(b))
		}
		for i := range b { // whatever bit is flipped
			b[i] ^= 1 << (i % 8)
			if got := valueOf(b); got == v {
				t.Fatalf("a flipped bit in byte %d of %d is not seen", i, len(b))
			}
			b[i] ^= 1 << (i % 8)
		}
		if valueOf(b[:len(b)-1]) != -1 || valueOf(append(b, 0)) != -1 {
			t.Fatal("a payload of another length is not seen")
		}
	}
}
