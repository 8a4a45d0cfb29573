package guard_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/guard"
)

// known returns the versions that both the table and the decoder know.
func known() []guard.Version {
	var both []guard.Version
	for _, v := range guard.Versions() {
		if req := kmsg.RequestForKey(v.Key); req != nil && v.Version <= req.MaxVersion() {
			both = append(both, v)
		}
	}
	return both
}

func TestTable_CoversWhatTheDecoderKnows(t *testing.T) {
	inTable := make(map[int16]int16) // highest version
	for _, v := range guard.Versions() {
		inTable[v.Key] = v.Version
	}
	removed := map[int16]bool{4: true, 5: true, 6: true, 7: true} // in Kafka 4.0
	for key := range int16(200) {
		req := kmsg.RequestForKey(key)
		if req == nil || removed[key] {
			continue
		}
		most, ok := inTable[key]
		if !ok {
			t.Errorf("%s (%d) is not in the table", kmsg.NameForKey(key), key)
		} else if req.MaxVersion() > most {
			t.Errorf("%s (%d): the decoder knows v%d, the table ends at v%d", kmsg.NameForKey(key), key, req.MaxVersion(), most)
		}
	}
	if got := guard.Depth(); got > 8 {
		t.Errorf("layouts nest %d deep, want at most 8: the walker recurses", got)
	}
}

// TestCheck_AcceptsWhatTheDecoderWrites fills requests of every key and version with random values.
func TestCheck_AcceptsWhatTheDecoderWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, v := range known() {
		for range 40 {
			req := kmsg.RequestForKey(v.Key)
			fill(r, reflect.ValueOf(req).Elem(), 0)
			req.SetVersion(v.Version)
			dropNewerTags(req, v.Version)
			body := req.AppendTo(nil)
			if err := guard.Check(v.Key, v.Version, body); err != nil {
				t.Fatalf("%v\n%+v\n%x", err, req, body)
			}
		}
	}
}

// dropNewerTags resets tagged fields that the version does not have: the decoder would write them in any, where Kafka
// refuses them.
func dropNewerTags(req kmsg.Request, version int16) {
	switch req := req.(type) {
	case *kmsg.FetchRequest:
		if version < 15 {
			req.ReplicaState = kmsg.NewFetchRequestReplicaState()
		}
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				if version < 17 {
					p.ReplicaDirectoryID = [16]byte{}
				}
				if version < 18 {
					p.HighWatermark = kmsg.NewFetchRequestTopicPartition().HighWatermark
				}
			}
		}
	case *kmsg.FetchSnapshotRequest:
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				if version < 1 {
					req.Topics[i].Partitions[j].ReplicaDirectoryID = [16]byte{}
				}
			}
		}
	case *kmsg.BrokerHeartbeatRequest:
		if version < 1 {
			req.OfflineLogDirs = nil
		}
		if version < 2 {
			req.CordonedLogDirs = nil
		}
	}
}

// TestCheck_DecoderReadsWhatItAccepts writes bodies along the table and has the decoder read and write them again.
func TestCheck_DecoderReadsWhatItAccepts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, v := range guard.Versions() {
		for i := range 40 {
			g := guard.Body{Rand: r, Budget: 300, Tags: i%4 == 1 || i%4 == 3}
			if i%4 >= 2 {
				g.Unknown = 3
			}
			body := g.Make(v.Key, v.Version)
			if err := guard.Check(v.Key, v.Version, body); err != nil {
				t.Fatalf("%v\n%x", err, body)
			}
			if err := guard.Check(v.Key, v.Version, append(slices.Clip(body), "behind"...)); err != nil {
				t.Fatalf("with bytes behind the body: %v\n%x", err, body)
			}
			req := kmsg.RequestForKey(v.Key)
			if req == nil || v.Version > req.MaxVersion() {
				continue
			}
			req.SetVersion(v.Version)
			if err := req.ReadFrom(body); err != nil {
				t.Fatalf("%s v%d: %v\n%x", v.Name, v.Version, err, body)
			}
			again := req.AppendTo(nil)
			if err := guard.Check(v.Key, v.Version, again); err != nil {
				t.Fatalf("written again: %v\n%x", err, again)
			}
			if !g.Tags && !sameButForBools(body, again) {
				t.Fatalf("%s v%d: read and written again\n%x\nwas\n%x\n%+v", v.Name, v.Version, again, body, req)
			}
		}
	}
}

// sameButForBools compares bodies of which a has random bytes for booleans, which become 1.
func sameButForBools(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (b[i] != 1 || a[i] == 0) {
			return false
		}
	}
	return true
}

func TestCheck_EveryPrefixIsRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, v := range guard.Versions() {
		g := guard.Body{Rand: r, Budget: 120, Tags: true, Unknown: 2}
		body := g.Make(v.Key, v.Version)
		for n := range body {
			err := guard.Check(v.Key, v.Version, body[:n])
			var refused *guard.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("%s v%d: %d of %d bytes: got %v, want a refusal\n%x", v.Name, v.Version, n, len(body), err, body)
			}
			if refused.Position > n {
				t.Fatalf("%s v%d: refused at %d of %d bytes", v.Name, v.Version, refused.Position, n)
			}
		}
	}
}

func TestCheck_Refuses(t *testing.T) {
	tags := func(n int) string {
		var b strings.Builder
		b.WriteByte(byte(n))
		for i := range n {
			b.WriteString(string([]byte{byte(i), 0}))
		}
		return b.String()
	}
	tests := []struct {
		name         string
		key, version int16
		body, want   string
	}{
		{"a claim of 2^32 tagged fields", 18, 3, "\x01\x01\xff\xff\xff\xff\x0f", "32 bits"},
		{"a claim of 2^31-1 tagged fields", 18, 3, "\x01\x01\xff\xff\xff\xff\x07", "too many unknown"},
		{"65 unknown tagged fields", 18, 3, "\x01\x01" + tags(65), "too many unknown"},
		{"a tag twice", 18, 3, "\x01\x01\x02\x05\x00\x05\x00", "do not rise"},
		{"tags that fall", 18, 3, "\x01\x01\x02\x05\x00\x04\x00", "do not rise"},
		{"a varint of six bytes", 18, 3, "\x80\x80\x80\x80\x80\x00", "32 bits"},
		{"an array longer than the body", 3, 0, "\x00\x00\x00\x05\x00\x01a", "more elements"},
		{"a negative array that cannot be null", 3, 0, "\xff\xff\xff\xff", "null"},
		{"a string that cannot be null", 17, 0, "\xff\xff", "null"},
		{"a compact string that is too long", 18, 3, "\x81\x80\x02" + strings.Repeat("a", 32768), "32767"},
		{"a tag that v12 does not have yet", 1, 12, strings.Repeat("\x00", 25) + "\x01\x01\x01\x01\x01\x00", "another version"},
		{"a known tag larger than its field", 1, 12, strings.Repeat("\x00", 25) + "\x01\x01\x01\x01\x00\x03\x02a\x00", "fill its size"},
		{"a known tag smaller than its field", 1, 12, strings.Repeat("\x00", 25) + "\x01\x01\x01\x01\x00\x02\x03aa", "ends inside"},
		{"a version that was removed", 0, 2, "", "no layout"},
		{"a version that is not there yet", 0, 99, "", "no layout"},
		{"an unknown key", 999, 0, "", "no layout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := guard.Check(tt.key, tt.version, []byte(tt.body))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
	if err := guard.Check(18, 3, []byte("\x01\x01"+tags(64))); err != nil {
		t.Errorf("64 unknown tagged fields: %v", err)
	}
}

func TestTags(t *testing.T) {
	rest, err := guard.Tags([]byte("\x02\x00\x01x\x07\x00body"))
	if err != nil || string(rest) != "body" {
		t.Errorf("got %q and %v, want the body", rest, err)
	}
	for _, bad := range []string{"", "\x01", "\x01\x00", "\x01\x00\x05x", "\x02\x01\x00\x01\x00", "\xff\xff\xff\xff\x0f", "\x41"} {
		if rest, err := guard.Tags([]byte(bad)); err == nil {
			t.Errorf("%x: accepted, rest %x", bad, rest)
		}
	}
}

const (
	maxBody     = 64 << 10
	maxTime     = 50 * time.Millisecond
	memPerByte  = 32
	memPerInput = 64 << 10
)

// decode guards and decodes a body and reports what broke the bounds, or "".
func decode(key, version int16, body []byte) string {
	var before, after runtime.MemStats
	spent := time.Hour
	var err error
	for try := 0; try < 5 && spent > maxTime; try++ { // another process may have had the core
		req := kmsg.RequestForKey(key)
		runtime.ReadMemStats(&before)
		start := time.Now()
		if err = guard.Check(key, version, body); err == nil && req != nil && version <= req.MaxVersion() {
			req.SetVersion(version)
			if derr := req.ReadFrom(body); derr != nil {
				return fmt.Sprintf("accepted, but the decoder says: %v", derr)
			}
		}
		spent = min(spent, time.Since(start))
		runtime.ReadMemStats(&after)
	}
	if raceDetector {
		return ""
	}
	if spent > maxTime {
		return fmt.Sprintf("took %v, want at most %v (%v)", spent, maxTime, err)
	}
	used, most := after.TotalAlloc-before.TotalAlloc, uint64(memPerByte*len(body)+memPerInput)
	if used > most {
		return fmt.Sprintf("took %d bytes of memory for %d of input, want at most %d (%v)", used, len(body), most, err)
	}
	return ""
}

// TestCheck_BoundsTimeAndMemory sends what is meant to hurt through every key and version.
func TestCheck_BoundsTimeAndMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	rounds := 2
	if testing.Short() || raceDetector {
		rounds = 1
	}
	for _, v := range guard.Versions() {
		for range rounds {
			for _, body := range hostile(r, v) {
				if len(body) > maxBody {
					body = body[:maxBody]
				}
				if what := decode(v.Key, v.Version, body); what != "" {
					t.Fatalf("%s v%d: %s\n%.100x…", v.Name, v.Version, what, body)
				}
			}
		}
	}
}

func hostile(r *rand.Rand, v guard.Version) [][]byte {
	noise := make([]byte, 1+r.IntN(maxBody))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	valid := (&guard.Body{Rand: r, Budget: 4000, Tags: true, Unknown: 2}).Make(v.Key, v.Version)
	bodies := [][]byte{
		noise,
		bytes.Repeat([]byte{1}, maxBody),
		bytes.Repeat([]byte{2}, maxBody),
		bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0x07}, maxBody/5),
		make([]byte, maxBody),
		(&guard.Body{Rand: r, Dense: true, Budget: maxBody - 200}).Make(v.Key, v.Version),
		(&guard.Body{Rand: r, Dense: true, Budget: maxBody - 200}).Make(v.Key, v.Version),
		(&guard.Body{Rand: r, Dense: true, Budget: 3000}).Make(v.Key, v.Version),
		(&guard.Body{Rand: r, Dense: true, Budget: maxBody - 200, Unknown: 1}).Make(v.Key, v.Version),
		(&guard.Body{Rand: r, Dense: true, Budget: maxBody - 200, Unknown: 9}).Make(v.Key, v.Version),
		(&guard.Body{Rand: r, Dense: true, Budget: maxBody - 200, Unknown: 64}).Make(v.Key, v.Version),
	}
	for range 8 {
		bodies = append(bodies, mutate(r, valid))
	}
	return bodies
}

// mutate changes a few bytes, mostly to what lengths look like.
func mutate(r *rand.Rand, body []byte) []byte {
	b := bytes.Clone(body)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			break
		}
		i := r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[i] = byte(r.Uint32())
		case 1:
			b[i] = 0xff
		case 2:
			b[i]++
		case 3:
			b = append(b[:i:i], b[min(len(b), i+1+r.IntN(8)):]...)
		case 4:
			b = append(b[:i:i], append([]byte{0xff, 0xff, 0xff, 0xff, 0x07}, b[i:]...)...)
		}
	}
	return b
}

// fill sets every field of a request to something: pointers and slices are sometimes nil.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			if r.IntN(4) == 0 {
				v.Addr().Interface().(*kmsg.Tags).Set(1000+r.Uint32N(100), []byte("x"))
			}
			return
		}
		for _, f := range v.Fields() {
			if f.CanSet() {
				fill(r, f, depth+1)
			}
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth+1)
		}
	case reflect.Slice:
		n := r.IntN(4)
		if n == 0 && r.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.String:
		v.SetString(strings.Repeat("s", r.IntN(5)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Float64:
		v.SetFloat(r.Float64())
	default:
		panic(v.Kind().String())
	}
}
