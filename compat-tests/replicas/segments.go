package replicas

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/distributedmq/dmq/protocol/records"
)

// cursor walks the batches of a partition folder in order.
type cursor struct {
	node  int32
	dir   string
	files []string // that are not read yet
	file  *os.File
	r     *bufio.Reader

	batch records.Batch // the one it stands at; nil: the log has ended
	buf   []byte

	leaderEpoch int32 // of the last batch
	begins      []epochBegin
	end         int64 // the offset after the last batch
	count       int
	bytes       int64
}

// epochBegin is where a leader epoch begins in a log.
type epochBegin struct {
	leaderEpoch int32
	offset      int64
}

// open stands at the first batch of the folder. A replica that never had a record may have no segment, and no folder.
func open(node int32, dir string) (*cursor, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	c := &cursor{node: node, dir: dir, files: files, leaderEpoch: -1}
	if err := c.next(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close()
		c.file = nil
	}
}

// next goes to the next batch, and looks that it is whole and of no earlier leader epoch.
func (c *cursor) next() error {
	before := int64(-1)
	if c.batch != nil {
		before = c.batch.LastOffset()
	}
	if err := c.read(); err != nil || c.batch == nil {
		return err
	}
	b := c.batch
	if err := b.VerifyCRC(); err != nil {
		return fmt.Errorf("node %d: batch at offset %d in %s: %w", c.node, b.BaseOffset(), c.dir, err)
	}
	switch leaderEpoch := b.PartitionLeaderEpoch(); {
	case b.BaseOffset() <= before:
		return fmt.Errorf("node %d: a batch at offset %d comes after offset %d in %s", c.node, b.BaseOffset(), before, c.dir)
	case leaderEpoch < c.leaderEpoch:
		return fmt.Errorf("node %d: leader epoch %d at offset %d comes after %d in %s", c.node, leaderEpoch, b.BaseOffset(), c.leaderEpoch, c.dir)
	case leaderEpoch > c.leaderEpoch:
		c.leaderEpoch = leaderEpoch
		c.begins = append(c.begins, epochBegin{leaderEpoch, b.BaseOffset()})
	}
	c.end = b.NextOffset()
	c.count++
	c.bytes += int64(len(b))
	return nil
}

// read reads the next batch of the open file, or of the next ones.
func (c *cursor) read() error {
	for {
		if c.file == nil {
			if len(c.files) == 0 {
				c.batch = nil
				return nil
			}
			f, err := os.Open(c.files[0])
			if err != nil {
				return err
			}
			c.file, c.files = f, c.files[1:]
			c.r = bufio.NewReaderSize(f, 1<<20)
		}
		err := c.readBatch()
		if err == nil {
			return nil
		}
		c.close()
		torn := errors.Is(err, io.ErrUnexpectedEOF) && len(c.files) == 0
		if !errors.Is(err, io.EOF) && !torn {
			return fmt.Errorf("node %d: read a batch of %s: %w", c.node, c.dir, err)
		}
	}
}

const prefix = 17 // enough to tell the size of a batch

func (c *cursor) readBatch() error {
	head, err := c.r.Peek(prefix)
	if len(head) == 0 {
		return io.EOF
	}
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	size, err := records.SizeOf(head)
	if err != nil {
		return err
	}
	if size > 1<<30 {
		return fmt.Errorf("a batch of %d bytes", size)
	}
	c.buf = slices.Grow(c.buf[:0], size)[:size]
	if _, err := io.ReadFull(c.r, c.buf); err != nil {
		return io.ErrUnexpectedEOF
	}
	c.batch, _, err = records.Split(c.buf)
	return err
}
