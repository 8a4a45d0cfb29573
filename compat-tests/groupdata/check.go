package groupdata

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Check plays the groups on another broker, but for what dmq does not serve, and compares what is left of its records after
// compaction with what is left of those in Kafka's file: the keys, and each value's version and length. Values differ in ids and
// times only.
func Check(ctx context.Context, b *peer.Broker, kafkaFile string, verbose bool, out io.Writer) *report.Report {
	r := report.New(out, "group records")
	r.Verbose = verbose
	var want, got map[string]string
	ok := r.Check("play", func() error {
		kafkaLines, err := os.ReadFile(kafkaFile)
		if err != nil {
			return err
		}
		w := &writer{addr: b.Addr}
		defer w.close()
		if err := w.play(ctx, w.served()); err != nil {
			return err
		}
		lines, err := w.dump(ctx)
		want, got = compacted(kafkaLines), compacted(lines)
		return err
	})
	if !ok {
		return r
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		r.Check(key, func() error {
			if got[key] != want[key] {
				return fmt.Errorf("Kafka has %s, ours is %s", want[key], or(got[key], "not there"))
			}
			return nil
		})
		delete(got, key)
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		r.Fail(key, errors.New("Kafka does not have it"))
	}
	return r
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// unserved are groups that dmq does not serve.
var unserved = []string{"transactional", "share", "streams"}

// randomID is what brokers make up: the end of a member id.
var randomID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// compacted returns, for each key in the lines of a dump, what the last value looks like.
func compacted(lines []byte) map[string]string {
	last := make(map[string]string)
	for line := range strings.Lines(string(lines)) {
		fields := strings.Fields(line)
		if fields[0] != "record" {
			continue
		}
		key, err := hex.DecodeString(fields[5])
		if err != nil || len(key) < 4 || slices.ContainsFunc(unserved, func(g string) bool { return bytes.HasPrefix(key[4:], []byte(g)) }) {
			continue
		}
		shape := "a tombstone"
		if value := fields[6]; value != "-" {
			shape = fmt.Sprintf("%d bytes of version 0x%s", len(value)/2, value[:4])
		}
		name := fmt.Sprintf("type %d %q", int(key[0])<<8|int(key[1]), key[2:])
		last[randomID.ReplaceAllString(name, "…")] = shape
	}
	return last
}
