package log

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
)

// tornSuffix marks what recovery cut off: <offset>.torn is the end of a segment, <offset>.log.torn a whole one. Kafka
// ignores such files.
const tornSuffix = ".torn"

// maxSideFiles is how many of them a partition keeps.
const maxSideFiles = 16

// keepTail copies what follows the valid batches of s to a side file, without the zeros at its end, which a filesystem
// leaves where it had only got as far as to make room. A full disk must not keep the log from opening: then
// the tail, of which nothing was acknowledged, is not kept.
func (l *Log) keepTail(s *segment.Segment, res segment.Recovered) error {
	from, err := l.fs.OpenFile(s.LogPath(), vfs.ReadOnly, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	l.recovery.CutBytes += info.Size() - res.Size
	end, err := trimZeros(from, res.Size, info.Size())
	if err != nil || end == res.Size {
		return err
	}
	name, err := l.freeName(segment.FileName(res.NextOffset, tornSuffix))
	if err != nil {
		return err
	}
	if err := l.copySynced(name, from, res.Size, end); err != nil {
		if !segment.IsNoSpace(err) {
			return err
		}
		l.logger.Error("the disk is full: a torn tail is not kept", slog.Int64("bytes", end-res.Size))
		return l.remove(name)
	}
	l.recovery.CutFiles = append(l.recovery.CutFiles, l.path(name))
	return l.fs.SyncDir(l.o.Dir)
}

const copyBuffer = 256 << 10

// trimZeros returns the end of the last byte in [start, end) that is not 0.
func trimZeros(f vfs.File, start, end int64) (int64, error) {
	buf := make([]byte, min(copyBuffer, end-start))
	for end > start {
		n := min(int64(len(buf)), end-start)
		if _, err := f.ReadAt(buf[:n], end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if left := bytes.TrimRight(buf[:n], "\x00"); len(left) > 0 {
			return end - n + int64(len(left)), nil
		}
		end -= n
	}
	return start, nil
}

func (l *Log) copySynced(name string, from vfs.File, start, end int64) (err error) {
	to, err := l.fs.OpenFile(l.path(name), vfs.ReadWrite|vfs.Create|vfs.Trunc, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	buf := make([]byte, min(copyBuffer, end-start))
	for at := start; at < end; {
		n, err := from.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if n == 0 {
			return err
		}
		if _, err := to.WriteAt(buf[:n], at-start); err != nil {
			return err
		}
		at += int64(n)
	}
	return to.SyncData()
}

// setAside renames the .log file of a segment that lies behind a torn tail, and removes its indexes.
func (l *Log) setAside(s *segment.Segment) (path string, err error) {
	name, err := l.freeName(segment.FileName(s.BaseOffset(), segment.LogSuffix+tornSuffix))
	if err != nil {
		return "", err
	}
	if err := l.fs.Rename(s.LogPath(), l.path(name)); err != nil {
		return "", err
	}
	if err := s.Remove(); err != nil {
		return "", err
	}
	return l.path(name), l.fs.SyncDir(l.o.Dir)
}

// freeName appends a number to name where a file of that name exists.
func (l *Log) freeName(name string) (string, error) {
	for i := 0; ; i++ {
		candidate := name
		if i > 0 {
			candidate += "." + strconv.Itoa(i)
		}
		_, err := l.fs.Stat(l.path(candidate))
		if errors.Is(err, fs.ErrNotExist) {
			return candidate, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// pruneSideFiles removes the oldest side files where there are too many.
func (l *Log) pruneSideFiles() error {
	entries, err := l.fs.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	type side struct {
		name string
		time time.Time
	}
	var sides []side
	for _, e := range entries {
		if _, suffix, ok := segment.ParseFileName(e.Name()); !ok || !strings.Contains(suffix, tornSuffix) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		sides = append(sides, side{e.Name(), info.ModTime()})
	}
	slices.SortStableFunc(sides, func(a, b side) int { return cmp.Compare(b.time.UnixNano(), a.time.UnixNano()) })
	for i := maxSideFiles; i < len(sides); i++ {
		if err := l.remove(sides[i].name); err != nil {
			return err
		}
	}
	return nil
}
