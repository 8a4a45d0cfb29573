package guard_test

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/guard"
)

// FuzzCheck has the decoder read what the guard accepted, of every key and version. pick chooses among them.
func FuzzCheck(f *testing.F) {
	all := known()
	r := rand.New(rand.NewPCG(9, 10))
	for i, v := range all {
		g := guard.Body{Rand: r, Budget: 60, Tags: true, Unknown: 1}
		f.Add(uint16(i), g.Make(v.Key, v.Version))
	}
	f.Fuzz(func(t *testing.T, pick uint16, body []byte) {
		if len(body) > maxBody {
			return
		}
		v := all[int(pick)%len(all)]
		if what := decode(v.Key, v.Version, body); what != "" {
			t.Fatalf("%s v%d: %s", v.Name, v.Version, what)
		}
		if guard.Check(v.Key, v.Version, body) != nil {
			return
		}
		req := kmsg.RequestForKey(v.Key)
		req.SetVersion(v.Version)
		if err := req.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		dropNewerTags(req, v.Version)
		if again := req.AppendTo(nil); guard.Check(v.Key, v.Version, again) != nil {
			t.Fatalf("%s v%d: read from %x and written as %x: %v", v.Name, v.Version, body, again, guard.Check(v.Key, v.Version, again))
		}
	})
}
