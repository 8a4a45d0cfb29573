package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/internal/transcript"
)

// playTranscripts plays the files that match pattern. Each begins with a new world, whose run plays a command.
func playTranscripts(t *testing.T, pattern string, newWorld func(t *testing.T) (run func(command string, a args) string)) {
	t.Helper()
	transcript.Play(t, pattern, func(t *testing.T) func(line string) string {
		run := newWorld(t)
		return func(line string) string {
			words := strings.Fields(line)
			return run(words[0], parseArgs(words[1:]))
		}
	})
}

// args are the words of a command: those with an equals sign by name, the others in order.
type args struct {
	words []string
	named map[string]string
}

func parseArgs(words []string) args {
	a := args{named: make(map[string]string)}
	for _, w := range words {
		if key, value, ok := strings.Cut(w, "="); ok {
			a.named[key] = value
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a args) one(key, def string) string {
	if v, ok := a.named[key]; ok {
		return v
	}
	return def
}

func (a args) nullable(key string) *string {
	if v, ok := a.named[key]; ok && v != "null" {
		return &v
	}
	return nil
}

func (a args) num(key string, def int) int {
	n := def
	if v, ok := a.named[key]; ok {
		if _, err := fmt.Sscan(v, &n); err != nil {
			panic(err)
		}
	}
	return n
}

func (a args) duration(key string, def time.Duration) time.Duration {
	v, ok := a.named[key]
	if !ok {
		return def
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		panic(err)
	}
	return d
}

// list returns the words of a value with commas; nil where there is none.
func (a args) list(key, def string) []string {
	if v := a.one(key, def); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}
