package transcripts

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// block is a command of a transcript and what clients are told after it.
type block struct {
	line    string
	command string
	args    args
	answers []string
}

// answer tells the answer to a request from what a transcript shows of the inside.
var answer = regexp.MustCompile(`^(\S+: (join|sync|heartbeat|commit) |leave v)`)

// parse reads a transcript: commands, each followed by "----", what it led to, and an empty line.
func parse(transcript []byte) []block {
	var out []block
	scanner := bufio.NewScanner(bytes.NewReader(transcript))
	commands := true
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case line == "":
			commands = true
		case line == "----":
			commands = false
		case commands && !strings.HasPrefix(line, "#"):
			words := strings.Fields(line)
			out = append(out, block{line: line, command: words[0], args: parseArgs(words[1:])})
		case !commands && answer.MatchString(line):
			out[len(out)-1].answers = append(out[len(out)-1].answers, line)
		}
	}
	return out
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

func (a args) list(key, def string) []string {
	if v := a.one(key, def); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

// duration is how long a command lasts.
func (b *block) duration() time.Duration {
	switch b.command {
	case "advance":
		d, _ := time.ParseDuration(b.args.words[0])
		return d
	case "alive":
		return b.args.duration("for", 0)
	default:
		return 0
	}
}
