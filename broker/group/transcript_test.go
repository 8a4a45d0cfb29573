package group

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Only commit the changes of -rewrite if you understand what caused them.
var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts")

// playTranscripts plays the files that match glob: blocks of one command and, after "----", what it led to. Each begins with
// a new world, whose run plays a command.
func playTranscripts(t *testing.T, glob string, newWorld func(t *testing.T) (run func(command string, a args) string)) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playTranscript(want, newWorld(t))
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// playTranscript plays a transcript and returns it with what it led to.
func playTranscript(transcript []byte, run func(command string, a args) string) []byte {
	var out bytes.Buffer
	scanner := bufio.NewScanner(bytes.NewReader(transcript))
	skipping := false
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case line == "":
			skipping = false
			out.WriteString("\n")
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		case line == "----":
			skipping = true
		case !skipping:
			words := strings.Fields(line)
			fmt.Fprintf(&out, "%s\n----\n%s", line, run(words[0], parseArgs(words[1:])))
		}
	}
	return out.Bytes()
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
