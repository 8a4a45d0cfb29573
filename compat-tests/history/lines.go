package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Writer writes a history, and may be used from many goroutines.
type Writer struct {
	began time.Time

	mu  sync.Mutex // guards the fields below
	w   *bufio.Writer
	enc *json.Encoder
	err error // the first one; nothing is written after it
}

// NewWriter returns a writer of a history that begins now.
func NewWriter(w io.Writer) *Writer {
	b := bufio.NewWriterSize(w, 1<<20)
	return &Writer{began: time.Now(), w: b, enc: json.NewEncoder(b)}
}

// Now is the time of the history.
func (w *Writer) Now() time.Duration { return time.Since(w.began) }

// Add notes an operation that has just ended.
func (w *Writer) Add(op Op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	op.End = w.Now() // under the lock, so that ends rise
	if w.err == nil {
		w.err = w.enc.Encode(&op)
	}
}

// Flush writes out what is buffered and returns the first error of all.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.err, w.w.Flush())
}

// ReadLines calls each for every operation of a written history.
func ReadLines(r io.Reader, each func(Op)) error {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<20))
	for n := 1; ; n++ {
		var op Op
		switch err := dec.Decode(&op); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read operation %d of a history: %w", n, err)
		}
		each(op)
	}
}
