package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/distributedmq/dmq/log/vfs"
)

// textVersion is the only version of Kafka's line-based checkpoints.
const textVersion = 0

// textReader walks a checkpoint as Kafka's CheckpointFile does: version, count, then one entry on each line.
type textReader struct {
	path string
	rest []byte
	line int // of the line last read
}

func (r *textReader) errorf(format string, args ...any) error {
	return &FormatError{Path: r.path, Line: r.line, Msg: fmt.Sprintf(format, args...)}
}

// next returns the next line without its end, which is \n, \r\n or \r.
func (r *textReader) next() (line []byte, ok bool) {
	if len(r.rest) == 0 {
		return nil, false
	}
	r.line++
	i := bytes.IndexAny(r.rest, "\r\n")
	if i < 0 {
		line, r.rest = r.rest, nil
		return line, true
	}
	line = r.rest[:i]
	if r.rest[i] == '\r' && i+1 < len(r.rest) && r.rest[i+1] == '\n' {
		i++
	}
	r.rest = r.rest[i+1:]
	return line, true
}

// readText calls entry for each entry's fields. A file that is missing or empty, or ends after its version, has none.
func readText(fsys vfs.FS, path string, fields int, entry func(f [][]byte) error) error {
	b, err := vfs.ReadFile(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	r := &textReader{path: path, rest: b}
	line, ok := r.next()
	if !ok {
		return nil
	}
	version, err := parseInt32(line)
	if err != nil {
		return r.errorf("version %q is not a number", line)
	}
	if version != textVersion {
		return r.errorf("unknown version %d, want %d", version, textVersion)
	}
	line, ok = r.next()
	if !ok {
		return nil
	}
	want, err := parseInt32(line)
	if err != nil {
		return r.errorf("count %q is not a number", line)
	}
	return r.entries(int(want), fields, entry)
}

func (r *textReader) entries(want, fields int, entry func(f [][]byte) error) error {
	got := 0
	split := make([][]byte, 0, fields+1)
	for {
		line, ok := r.next()
		if !ok {
			break
		}
		split = splitFields(split[:0], line)
		if len(split) != fields {
			return r.errorf("malformed line %.100q: want %d fields", line, fields)
		}
		if err := entry(split); err != nil {
			return r.errorf("malformed line %.100q: %v", line, err)
		}
		got++
	}
	if got != want {
		r.line = 0
		return r.errorf("holds %d entries, its count says %d", got, want)
	}
	return nil
}

// splitFields splits as Java's String.split("\\s+"): leading space makes an empty first field, trailing space none.
func splitFields(dst [][]byte, line []byte) [][]byte {
	line = bytes.TrimRight(line, whitespace)
	for {
		i := bytes.IndexAny(line, whitespace)
		if i < 0 {
			return append(dst, line)
		}
		dst = append(dst, line[:i])
		line = bytes.TrimLeft(line[i:], whitespace)
	}
}

const whitespace = " \t\n\v\f\r"

// textBuilder writes a checkpoint.
type textBuilder struct{ b []byte }

func newTextBuilder(count int) *textBuilder {
	t := &textBuilder{b: make([]byte, 0, 16+32*count)}
	t.b = strconv.AppendInt(t.b, textVersion, 10)
	t.b = append(t.b, '\n')
	t.b = strconv.AppendInt(t.b, int64(count), 10)
	t.b = append(t.b, '\n')
	return t
}

func (t *textBuilder) int(v int64, end byte) {
	t.b = strconv.AppendInt(t.b, v, 10)
	t.b = append(t.b, end)
}

func (t *textBuilder) text(s string, end byte) {
	t.b = append(t.b, s...)
	t.b = append(t.b, end)
}

func parseInt32(b []byte) (int32, error) {
	v, err := strconv.ParseInt(string(b), 10, 32)
	return int32(v), err
}

func parseInt64(b []byte) (int64, error) { return strconv.ParseInt(string(b), 10, 64) }
