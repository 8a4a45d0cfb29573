package compress

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

type gzipStream struct {
	src bytes.Reader
	r   gzip.Reader
}

func (s *gzipStream) reset(src []byte, _ int) error {
	s.src.Reset(src)
	err := s.r.Reset(&s.src)
	if err == io.EOF { //nolint:errorlint // returned as it is for an empty input
		return errTruncated
	}
	return err
}

func (s *gzipStream) Read(p []byte) (int, error) { return s.r.Read(p) }
func (s *gzipStream) release()                   { s.src.Reset(nil) }

// gzipWriter is a pooled encoder that appends to out.
type gzipWriter struct {
	w   *gzip.Writer
	out []byte
}

func (g *gzipWriter) Write(p []byte) (int, error) {
	g.out = append(g.out, p...)
	return len(p), nil
}

// gzipWriters has a pool for each level: -1 (default), 0 (unused), 1 to 9.
var gzipWriters [11]sync.Pool

func compressGzip(dst []byte, level int, src []byte) ([]byte, error) {
	pool := &gzipWriters[level+1]
	g, ok := pool.Get().(*gzipWriter)
	if !ok {
		g = new(gzipWriter)
		w, err := gzip.NewWriterLevel(g, level)
		if err != nil {
			return dst, err
		}
		g.w = w
	}
	g.out = dst
	g.w.Reset(g)
	_, err := g.w.Write(src)
	if err == nil {
		err = g.w.Close()
	}
	out := g.out
	g.out = nil
	pool.Put(g)
	if err != nil {
		return dst, err
	}
	return out, nil
}
