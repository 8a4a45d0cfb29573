package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/distributedmq/dmq/protocol/errcode"
)

const (
	// bodyMost bounds an ordinary request.
	bodyMost = 64 << 10
	// messagesMost bounds one that carries records.
	messagesMost = 16 << 20
	// bodiesMost bounds what all requests together may hold of the bodies that they have received, with objectCost for each JSON
	// object in them. What else is made of a body takes a small multiple of it.
	bodiesMost = 64 << 20
	// objectCost is what the two bytes of an empty object may become.
	objectCost = 256
	// readingMost bounds the records that all requests together have brokers send them, but for readingLeast, which everybody may
	// have: connections bound that.
	readingMost, readingLeast = 256 << 20, 64 << 10
	// sendingMost bounds the answers on their way to clients that take their time, but for those of up to sendingLeast.
	sendingMost, sendingLeast = 64 << 20, 64 << 10
)

// budget bounds memory over all requests. Of bodies it counts bytes that have come, not bytes that were announced: who sends slowly
// takes no room from others.
type budget struct {
	most  int64
	taken atomic.Int64
}

// take reserves n bytes, or nothing.
func (b *budget) take(n int64) bool {
	if b.taken.Add(n) <= b.most {
		return true
	}
	b.taken.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.taken.Add(-n) }

// takeOne is take for what may be larger than all there is: it gets it when it is alone.
func (b *budget) takeOne(n int64) bool { return b.take(n) || b.taken.CompareAndSwap(0, n) }

// some reserves n bytes, or a quarter of what is left if that is less. Nobody gets fewer than least, which are not counted.
func (b *budget) some(n, least int64) (granted int64, done func()) {
	granted = min(n, (b.most-b.taken.Load())/4)
	if granted <= least || !b.take(granted) {
		return min(n, least), func() {}
	}
	return granted, func() { b.give(granted) }
}

// readStep is how much of a body is read at a time.
const readStep = 16 << 10

// read reads a body of at most limit bytes. Its memory is given back by done.
func (b *budget) read(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, done func(), err error) {
	var taken int64
	done = func() { b.give(taken) }
	src := http.MaxBytesReader(w, r.Body, limit)
	var buf bytes.Buffer
	for {
		if !b.take(readStep) {
			return nil, done, errOverloaded("too much is being received at a time")
		}
		taken += readStep
		switch n, err := io.CopyN(&buf, src, readStep); {
		case errors.Is(err, io.EOF):
			b.give(readStep - n)
			taken -= readStep - n
			objects := int64(bytes.Count(buf.Bytes(), []byte("{")))
			switch {
			case objects > b.most/objectCost:
				return nil, done, tooLarge("the request has %d JSON objects", objects)
			case !b.take(objects * objectCost):
				return nil, done, errOverloaded("too much is being received at a time")
			}
			taken += objects * objectCost
			return buf.Bytes(), done, nil
		case errors.As(err, new(*http.MaxBytesError)):
			return nil, done, tooLarge("the request has more than %d bytes", limit)
		case err != nil:
			return nil, done, &failure{status: http.StatusRequestTimeout, body: Error{
				ErrorCode: errcode.Name(int16(errcode.KindRequestTimedOut)), Message: "the request did not arrive in time",
			}}
		}
	}
}

func tooLarge(format string, args ...any) error {
	return fail(http.StatusRequestEntityTooLarge, errcode.Name(int16(errcode.KindMessageTooLarge)), format, args...)
}

// decode reads JSON into a request. Members that are not known are ignored.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		return badJSON(body, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("the body goes on after its JSON object")
	}
	return nil
}

// badJSON says what is wrong with a body, and where.
func badJSON(body []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return invalid("the body is empty; a JSON object is needed")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("the JSON of the body ends too early")
	case errors.As(err, &syntax):
		return invalid("line %d of the body is not JSON: %s", line(body, syntax.Offset), syntax)
	case errors.As(err, &kind):
		what := "the body"
		if kind.Field != "" {
			what = "member " + short(kind.Field)
		}
		return invalid("line %d of the body: %s is a JSON %s, a value of type %s is needed", line(body, kind.Offset), what, short(kind.Value), jsonType(kind.Type))
	default: // base64, or a number out of range
		return invalid("the body cannot be read: %s", short(strings.TrimPrefix(err.Error(), "json: ")))
	}
}

func line(body []byte, offset int64) int {
	return 1 + bytes.Count(body[:min(max(offset, 0), int64(len(body)))], []byte("\n"))
}
