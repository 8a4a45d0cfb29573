package records

import "testing"

// FuzzQuickRecord holds the fast parser against the complete one.
func FuzzQuickRecord(f *testing.F) {
	b := NewBuilder(BuilderOptions{})
	b.Append(1000, []byte("key"), []byte("value"))
	b.Append(1_000_000, nil, make([]byte, 200))
	b.Append(0, make([]byte, 70), nil)
	b.Append(9, nil, nil, Header{Key: "h"})
	f.Add(b.out[HeaderSize:])
	f.Fuzz(func(t *testing.T, p []byte) {
		for at := range p {
			var quick, full fields
			next := quickRecord(p, at, &quick)
			if next < 0 {
				continue
			}
			want, err := parseRecord(p, at, &full)
			quick.headersAt, full.headersAt = 0, 0
			if err != nil || next != want || quick != full {
				t.Fatalf("at %d of %x: quick %d %+v, full %d %+v %v", at, p, next, quick, want, full, err)
			}
		}
	})
}
