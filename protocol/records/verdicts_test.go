package records_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

var writeCases = flag.Int("write-cases", 0, "write so many new cases for testdata/java/Verdicts.java")

// verdictCase is a line of testdata/cases.txt.
type verdictCase struct {
	logAppendTime, compacted bool
	target                   int
	batch                    []byte
}

func (c verdictCase) String() string {
	digit := map[bool]int{true: 1}
	return fmt.Sprintf("%d %d %d %x", digit[c.logAppendTime], digit[c.compacted], c.target, c.batch)
}

func parseCase(t *testing.T, line string) verdictCase {
	t.Helper()
	var c verdictCase
	var ts, compacted int
	var batch string
	if _, err := fmt.Sscan(line, &ts, &compacted, &c.target, &batch); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var err error
	if c.batch, err = hex.DecodeString(batch); err != nil {
		t.Fatal(err)
	}
	c.logAppendTime, c.compacted = ts == 1, compacted == 1
	return c
}

// randomCase damages a batch of a few records, mostly in one place, and mostly with a checksum that is right again.
func randomCase(r *rand.Rand) verdictCase {
	c := verdictCase{logAppendTime: r.IntN(4) == 0, compacted: r.IntN(4) == 0, target: -1}
	if r.IntN(3) == 0 {
		c.target = r.IntN(5)
	}
	codec := compress.Codec(r.IntN(5))
	raw := randomRecords(r, codec)
	batch, err := compress.Compress(make([]byte, 61), codec, compress.DefaultLevel, raw.payload)
	if err != nil {
		panic(err)
	}
	b := records.Batch(batch)
	put32(b, 8, uint32(len(b)-12))
	b[16] = 2
	put16(b, 21, uint16(codec))
	put32(b, 12, 0xffffffff)
	put32(b, 23, uint32(raw.count-1))
	put64(b, 27, uint64(raw.base))
	put64(b, 35, uint64(raw.max))
	put64(b, 43, 0xffffffffffffffff)
	put16(b, 51, 0xffff)
	put32(b, 53, 0xffffffff)
	put32(b, 57, uint32(raw.count))
	damageHeader(r, b)
	if r.IntN(20) > 0 {
		b.SealCRC()
	}
	c.batch = b
	return c
}

type rawRecords struct {
	payload   []byte
	base, max int64
	count     int
}

func randomRecords(r *rand.Rand, codec compress.Codec) rawRecords {
	out := rawRecords{base: now - int64(r.IntN(10_000)), max: -1, count: 1 + r.IntN(6)}
	bad := -1
	if r.IntN(3) == 0 {
		bad = r.IntN(out.count)
	}
	for i := range out.count {
		delta, offset := int64(r.IntN(20_000)-5000), int64(i)
		if i == bad {
			switch r.IntN(4) {
			case 0:
				delta = 10_000_000
			case 1:
				delta = -10_000_000
			case 2:
				if codec != compress.None { // of uncompressed batches Kafka does not look at the offsets
					offset = int64(r.IntN(10) - 3)
				}
			}
		}
		out.max = max(out.max, out.base+delta)
		body := binary.AppendVarint(binary.AppendVarint([]byte{0}, delta), offset)
		for range 2 { // key and value
			if r.IntN(4) == 0 {
				body = binary.AppendVarint(body, -1)
				continue
			}
			v := make([]byte, r.IntN(90))
			body = append(binary.AppendVarint(body, int64(len(v))), v...)
		}
		body = binary.AppendVarint(body, 0)
		if codec == compress.None && i == bad && r.IntN(3) == 0 { // of compressed ones it does not look at the lengths
			body[r.IntN(len(body))] ^= byte(1 << r.IntN(8))
		}
		out.payload = append(binary.AppendVarint(out.payload, int64(len(body))), body...)
	}
	return out
}

func damageHeader(r *rand.Rand, b records.Batch) {
	switch r.IntN(12) {
	case 0:
		put64(b, 0, uint64(r.IntN(3)))
	case 1:
		put32(b, 23, uint32(r.IntN(8)-1))
	case 2:
		put32(b, 57, uint32(r.IntN(8)-1))
	case 3:
		n := uint32(r.IntN(8) - 1)
		put32(b, 23, n)
		put32(b, 57, n+1)
	case 4:
		b[22] |= 0x20
	case 5:
		put64(b, 43, uint64(r.IntN(3)))
		put32(b, 53, uint32(r.IntN(3)-1))
	case 6:
		put64(b, 35, uint64(now+int64(r.IntN(10_000))))
	case 7:
		b[22] |= 0x10
	case 8:
		b[21] = byte(r.IntN(2)) // bits without a meaning
	case 9:
		put16(b, 51, uint16(r.IntN(9)))
	}
}

// verdict is ours, in the words of Verdicts.java.
func verdict(c verdictCase) string {
	o := records.ValidateOptions{
		Now: now, TimestampBeforeMaxMs: 1_000_000, TimestampAfterMaxMs: 3_600_000, MaxMessageBytes: 2000,
		Compacted: c.compacted, TargetProducer: c.target < 0, TargetCodec: compress.Codec(max(c.target, 0)),
	}
	if c.logAppendTime {
		o.TimestampType = records.LogAppendTime
	}
	b, _, err := records.Split(c.batch)
	if err != nil {
		return "error " + errcode.Name(errcode.Of(err))
	}
	res, err := records.Validate(b, o)
	var re *records.RecordErrors
	switch {
	case errors.As(err, &re):
		var at []string
		for _, r := range re.Records {
			at = append(at, fmt.Sprint(r.Index))
		}
		return "error " + errcode.Name(int16(re.Kind)) + " " + strings.Join(at, " ")
	case err != nil:
		return "error " + errcode.Name(errcode.Of(err))
	case res.Rewritten:
		return fmt.Sprintf("ok 1 %d -", res.MaxTimestamp)
	default:
		return fmt.Sprintf("ok 0 %d %x", res.MaxTimestamp, []byte(res.Batch))
	}
}

// TestValidate_AgreesWithKafka compares verdicts with those of Kafka's own LogValidator.
func TestValidate_AgreesWithKafka(t *testing.T) {
	if *writeCases > 0 {
		r := rand.New(rand.NewPCG(uint64(*writeCases), 1))
		var out strings.Builder
		for range *writeCases {
			fmt.Fprintln(&out, randomCase(r))
		}
		if err := os.WriteFile("testdata/cases.txt", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	cases, verdicts := lines(t, "testdata/cases.txt"), lines(t, "testdata/verdicts.txt")
	if len(cases) != len(verdicts) || len(cases) < 200 {
		t.Fatalf("%d cases, %d verdicts", len(cases), len(verdicts))
	}
	for i := range cases {
		got, want := verdict(parseCase(t, cases[i])), verdicts[i]
		// Where Kafka has to rewrite a batch its builder throws at wrong offset deltas of compressed records, and at
		// producer fields that it lets pass otherwise. Of uncompressed records it does not look at the deltas. We rewrite
		// all of them.
		if strings.HasPrefix(got, "ok 1 ") && (want == "error UNKNOWN_SERVER_ERROR" || strings.HasPrefix(want, "ok 0 ")) {
			continue
		}
		if got != want {
			t.Errorf("case %d: %s\n got %s\nwant %s", i+1, cases[i], got, want)
		}
	}
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		all = append(all, s.Text())
	}
	return all
}
