// Package transcript plays tests that are written as transcripts: text files of blocks, each of one command and, after "----", what
// it led to. A block ends with an empty line; lines that begin with # are comments.
//
//	# A broker that is not known is refused.
//	heartbeat id=7
//	----
//	STALE_BROKER_EPOCH
//
// What commands there are is the test's affair. With the flag -rewrite the files are written anew, with what the commands led to: only
// commit the changes if you understand what caused them.
package transcript

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts")

// Play plays the files that match pattern, each as a test of its own that begins with a new world. The world plays a command, which is
// a line, and says what it led to, in whole lines.
func Play(t *testing.T, pattern string, newWorld func(t *testing.T) (run func(line string) string)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(want, newWorld(t))
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

// play runs the commands of a transcript and returns it with what they led to.
func play(transcript []byte, run func(line string) string) []byte {
	var out bytes.Buffer
	skipping := false // what the commands led to when it was written
	for scanner := bufio.NewScanner(bytes.NewReader(transcript)); scanner.Scan(); {
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
			fmt.Fprintf(&out, "%s\n----\n%s", line, run(line))
		}
	}
	return out.Bytes()
}
