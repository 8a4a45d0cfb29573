package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

type verifyOptions struct{ deep bool }

func newStorageVerify(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use: "verify DIR...", Short: "Check every batch and index of a data directory",
		Long: `Check a data directory, or the directory of one partition: the CRC and order of every batch, the offset and time indexes
against them, and the checkpoint files. With --deep every batch is also decompressed and its records are read. Exits with 5
when something is wrong. A torn end after an unclean stop is told, but is no fault: the next start cuts it.`,
		Example: "  dmq storage verify ./data\n  dmq storage verify --deep ./data/orders-0",
		Args:    args(1, -1, "a data directory or a partition's"),
		RunE:    func(_ *cobra.Command, dirs []string) error { return a.verifyStorage(dirs, o) },
	}
	cmd.Flags().BoolVar(&o.deep, "deep", false, "also decompress and read all records")
	return cmd
}

type verified struct {
	Directories []verifiedDir       `json:"directories"`
	Partitions  []verifiedPartition `json:"partitions"`
	Problems    []problem           `json:"problems"`
	Notes       []problem           `json:"notes"`
}

type verifiedDir struct {
	Path          string `json:"path"`
	ClusterID     string `json:"cluster_id"`
	NodeID        int32  `json:"node_id"`
	DirectoryID   string `json:"directory_id"`
	CleanShutdown bool   `json:"clean_shutdown"`
}

type verifiedPartition struct {
	Partition string `json:"partition"`
	Path      string `json:"path"`
	Segments  int    `json:"segments"`
	Batches   int64  `json:"batches"`
	Records   int64  `json:"records"`
	Bytes     int64  `json:"bytes"`
	Start     int64  `json:"start_offset"`
	End       int64  `json:"end_offset"`
	State     string `json:"state"` // ok, torn, damaged
}

type problem struct {
	File string `json:"file"`
	Text string `json:"text"`
}

func (a *app) verifyStorage(dirs []string, o verifyOptions) error {
	v := &verifier{o: o, out: verified{Directories: []verifiedDir{}, Partitions: []verifiedPartition{}, Problems: []problem{}, Notes: []problem{}}}
	for _, dir := range dirs {
		if err := v.dir(dir); err != nil {
			return err
		}
	}
	out := v.out
	g := grid{header: []string{"PARTITION", "STATE", "SEGMENTS", "BATCHES", "RECORDS", "SIZE", "START", "END", "PATH"}, wide: 8, numeric: []int{2, 3, 4, 5, 6, 7}}
	r := result{value: out}
	for _, p := range out.Partitions {
		g.rows = append(g.rows, []any{p.Partition, p.State, p.Segments, p.Batches, p.Records, humanize.IBytes(uint64(p.Bytes)), p.Start, p.End, p.Path})
		r.names = append(r.names, p.Partition)
	}
	r.table = []grid{g}
	for kind, list := range map[string][]problem{"PROBLEM": out.Problems, "NOTE": out.Notes} {
		if len(list) == 0 {
			continue
		}
		pg := grid{header: []string{kind, "FILE"}}
		for _, p := range list {
			pg.rows = append(pg.rows, []any{p.Text, p.File})
		}
		r.table = append(r.table, pg)
	}
	if err := a.print(r); err != nil {
		return err
	}
	if n := len(out.Problems); n > 0 {
		return &failure{code: codeUnhealthy, what: fmt.Sprintf("verification failed: %d problems", n), why: out.Problems[0].File + ": " + out.Problems[0].Text, next: "See the batches: dmq storage dump FILE"}
	}
	return nil
}

// verifier checks directories one after the other.
type verifier struct {
	o   verifyOptions
	out verified

	// Of the data directory at hand; nil maps where there is none.
	clean          bool
	recoveryPoints map[protocol.TopicPartition]int64
	highWatermarks map[protocol.TopicPartition]int64
	logStarts      map[protocol.TopicPartition]int64
}

func (v *verifier) problem(file, format string, args ...any) {
	v.out.Problems = append(v.out.Problems, problem{file, fmt.Sprintf(format, args...)})
}

func (v *verifier) note(file, format string, args ...any) {
	v.out.Notes = append(v.out.Notes, problem{file, fmt.Sprintf(format, args...)})
}

// dir checks a partition's directory, or a data directory with all its partitions.
func (v *verifier) dir(dir string) error {
	logs, err := logFiles(dir)
	if err != nil {
		return err
	}
	if len(logs) > 0 {
		parent := filepath.Dir(filepath.Clean(dir))
		if _, err := os.Stat(filepath.Join(parent, checkpoint.MetaPropertiesFile)); err == nil {
			v.readDir(parent)
		}
		return v.partition(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := v.readDir(dir)
	for _, e := range entries {
		tp, ok := partitionName(e.Name())
		switch {
		case !e.IsDir(), e.Name() == metadataDir:
		case ok:
			found = true
			if err := v.partition(filepath.Join(dir, tp.String())); err != nil {
				return err
			}
		case strings.HasSuffix(e.Name(), "-delete"), strings.HasSuffix(e.Name(), "-stray"), strings.HasSuffix(e.Name(), "-future"):
			v.note(filepath.Join(dir, e.Name()), "is left out: it is waiting to be deleted, set aside, or being moved")
		}
	}
	if !found {
		return &failure{code: codeNotFound, what: dir + " is not a data directory", next: "Name the directory that holds meta.properties, or a partition's directory such as ./data/orders-0"}
	}
	return nil
}

// metadataDir holds the metadata log, which is a key-value store and no partition.
const metadataDir = "__dmq_metadata-0"

// partitionName parses topic-partition.
func partitionName(name string) (protocol.TopicPartition, bool) {
	at := strings.LastIndexByte(name, '-')
	if at <= 0 {
		return protocol.TopicPartition{}, false
	}
	n, err := strconv.ParseUint(name[at+1:], 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != name[at+1:] {
		return protocol.TopicPartition{}, false
	}
	return protocol.TopicPartition{Topic: name[:at], Partition: int32(n)}, true
}

// readDir reads the files of a data directory itself, and reports whether it is one.
func (v *verifier) readDir(dir string) bool {
	fsys := vfs.OS()
	d := verifiedDir{Path: dir}
	meta, err := checkpoint.ReadMetaProperties(fsys, dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		v.clean, v.recoveryPoints, v.highWatermarks, v.logStarts = false, nil, nil, nil
		return false
	case err != nil:
		v.problem(filepath.Join(dir, checkpoint.MetaPropertiesFile), "%v", err)
	default:
		d.ClusterID, d.NodeID = meta.ClusterID, int32(meta.NodeID)
		if !meta.DirectoryID.IsZero() {
			d.DirectoryID = meta.DirectoryID.String()
		}
	}
	if _, d.CleanShutdown, err = checkpoint.ReadCleanShutdown(fsys, dir); err != nil {
		v.problem(filepath.Join(dir, checkpoint.CleanShutdownFile), "%v", err)
	}
	read := func(name string) map[protocol.TopicPartition]int64 {
		offsets, err := checkpoint.ReadOffsets(fsys, filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			v.problem(filepath.Join(dir, name), "%v", err)
		}
		return offsets
	}
	v.clean, v.recoveryPoints = d.CleanShutdown, read(checkpoint.RecoveryPointFile)
	v.highWatermarks, v.logStarts = read(checkpoint.HighWatermarkFile), read(checkpoint.LogStartOffsetFile)
	if !d.CleanShutdown {
		v.note(dir, "was not stopped cleanly, or a node is using it: its newest batches may be torn")
	}
	v.out.Directories = append(v.out.Directories, d)
	return true
}

func (v *verifier) partition(dir string) error {
	name := filepath.Base(filepath.Clean(dir))
	p := verifiedPartition{Partition: name, Path: dir, State: "ok"}
	before := len(v.out.Problems)
	logs, err := logFiles(dir)
	if err != nil {
		return err
	}
	next := int64(0)
	for i, file := range logs {
		base, _, _ := segment.ParseFileName(file)
		if i == 0 {
			p.Start = base
		}
		if base < next {
			v.problem(filepath.Join(dir, file), "begins at offset %d, but the segment before it ends at %d", base, next)
		}
		s := segmentCheck{v: v, path: filepath.Join(dir, file), base: base, newest: i == len(logs)-1, partition: &p}
		if next, err = s.run(max(base, next)); err != nil {
			return err
		}
	}
	p.Segments, p.End = len(logs), next
	v.bounds(dir, &p)
	v.small(dir, p)
	if len(v.out.Problems) > before {
		p.State = "damaged"
	}
	v.out.Partitions = append(v.out.Partitions, p)
	return nil
}

// bounds holds the log against what the checkpoints promise.
func (v *verifier) bounds(dir string, p *verifiedPartition) {
	tp, ok := partitionName(p.Partition)
	if !ok {
		return
	}
	if start, ok := v.logStarts[tp]; ok && start > p.Start {
		p.Start = min(start, p.End)
	}
	if point, ok := v.recoveryPoints[tp]; ok && point > p.End {
		v.problem(dir, "ends at offset %d, but was synced up to %d", p.End, point)
	}
	if mark, ok := v.highWatermarks[tp]; ok && mark > p.End {
		v.problem(dir, "ends at offset %d, but its high watermark was %d", p.End, mark)
	}
}

// small checks the partition's small files.
func (v *verifier) small(dir string, p verifiedPartition) {
	fsys := vfs.OS()
	if _, err := checkpoint.ReadPartitionMetadata(fsys, dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		v.problem(filepath.Join(dir, checkpoint.PartitionMetadataFile), "%v", err)
	}
	path := filepath.Join(dir, checkpoint.LeaderEpochFile)
	epochs, err := checkpoint.ReadEpochs(fsys, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		v.problem(path, "%v", err)
	}
	if !slices.IsSortedFunc(epochs, func(a, b checkpoint.EpochEntry) int {
		if a.LeaderEpoch < b.LeaderEpoch && a.StartOffset <= b.StartOffset {
			return -1
		}
		return 1
	}) && len(epochs) > 1 {
		v.problem(path, "its epochs are out of order")
	}
	if n := len(epochs); n > 0 && epochs[n-1].StartOffset > p.End {
		v.problem(path, "epoch %d begins at offset %d, after the end of the log (%d)", epochs[n-1].LeaderEpoch, epochs[n-1].StartOffset, p.End)
	}
}

// segmentCheck walks one segment and its indexes together.
type segmentCheck struct {
	v         *verifier
	path      string
	base      int64
	newest    bool
	partition *verifiedPartition
}

// run returns the offset after the last good batch.
func (s *segmentCheck) run(minOffset int64) (int64, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	index, err := s.index(segment.IndexSuffix, 8)
	if err != nil {
		return 0, err
	}
	s.partition.Bytes += info.Size()
	scanner := segment.NewScanner(f, 0, info.Size(), minOffset, true)
	for {
		b, err := scanner.Next()
		var bad *segment.BadBatchError
		switch {
		case errors.Is(err, io.EOF):
			s.restOfIndex(index)
			return scanner.NextOffset(), s.times(scanner.NextOffset())
		case errors.As(err, &bad):
			s.bad(f, bad, info.Size())
			return scanner.NextOffset(), nil
		case err != nil:
			return 0, err
		}
		index = s.matchIndex(index, b)
		if err := s.batch(f, b); err != nil {
			return 0, err
		}
	}
}

// bad judges a batch that cannot be read: as the last of the newest segment of an unclean directory it is a torn write,
// followed by other bytes it is damage.
func (s *segmentCheck) bad(f io.ReaderAt, bad *segment.BadBatchError, size int64) {
	left := size - bad.Position
	head := make([]byte, min(left, records.HeaderSize))
	claimed := -1
	if _, err := f.ReadAt(head, bad.Position); err == nil {
		if n, err := records.SizeOf(head); err == nil {
			claimed = n
		}
	}
	last := claimed < 0 && left < records.HeaderSize || int64(claimed) >= left
	if s.newest && !s.v.clean && last {
		s.partition.State = "torn"
		s.v.note(s.path, "%v: the next start looks at its %d bytes", bad, left)
		return
	}
	s.v.problem(s.path, "%v; %d bytes are left", bad, left)
}

func (s *segmentCheck) batch(f io.ReaderAt, b segment.Batch) error {
	s.partition.Batches++
	if b.Magic != records.Magic {
		s.partition.Records++
		return nil
	}
	v2 := b.V2()
	s.partition.Records += int64(v2.RecordCount())
	if !s.v.o.deep {
		return nil
	}
	batch, err := whole(f, b)
	if err != nil {
		return err
	}
	count := int32(0)
	err = batch.Iterate(maxRecordBytes, func(*records.Record) error { count++; return nil })
	switch {
	case err != nil:
		s.v.problem(s.path, "the records of the batch at byte %d cannot be read: %v", b.Position, err)
	case count != v2.RecordCount():
		s.v.problem(s.path, "the batch at byte %d has %d records and claims %d", b.Position, count, v2.RecordCount())
	}
	return nil
}

// index reads an index file without the zeros Kafka allocates ahead.
func (s *segmentCheck) index(suffix string, size int) ([][]byte, error) {
	path := strings.TrimSuffix(s.path, segment.LogSuffix) + suffix
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // it is built anew when it is needed
	}
	if err != nil {
		return nil, err
	}
	if len(data)%size != 0 {
		s.v.problem(path, "its size is no multiple of %d", size)
	}
	var out [][]byte
	for ; len(data) >= size; data = data[size:] {
		if len(out) > 0 && strings.Trim(string(data[:size]), "\x00") == "" {
			break
		}
		out = append(out, data[:size])
	}
	if len(out) == 1 && strings.Trim(string(out[0]), "\x00") == "" && suffix == segment.TimeIndexSuffix {
		return nil, nil // only zeros: Kafka's empty time index
	}
	return out, nil
}

// matchIndex drops the entries that lead to b, and complains of those that lead between batches.
func (s *segmentCheck) matchIndex(index [][]byte, b segment.Batch) [][]byte {
	for len(index) > 0 {
		offset, position := s.base+int64(int32(binary.BigEndian.Uint32(index[0]))), int64(int32(binary.BigEndian.Uint32(index[0][4:])))
		switch {
		case position > b.Position:
			return index
		case position < b.Position:
			s.v.problem(s.path, "the offset index leads to byte %d, where no batch begins", position)
		case offset < b.BaseOffset || offset > b.LastOffset:
			s.v.problem(s.path, "the offset index says that byte %d holds offset %d; it holds %d to %d", position, offset, b.BaseOffset, b.LastOffset)
		}
		index = index[1:]
	}
	return index
}

// restOfIndex complains of entries after the last batch.
func (s *segmentCheck) restOfIndex(index [][]byte) {
	if len(index) > 0 && s.partition.Batches > 0 {
		s.v.problem(s.path, "the offset index has %d entries that lead beyond the last batch", len(index))
	}
}

// times checks the time index: both columns rise, and offsets are of this segment.
func (s *segmentCheck) times(next int64) error {
	index, err := s.index(segment.TimeIndexSuffix, 12)
	if err != nil {
		return err
	}
	lastTime, lastOffset := int64(-1), s.base-1
	for i, e := range index {
		at, offset := int64(binary.BigEndian.Uint64(e)), s.base+int64(int32(binary.BigEndian.Uint32(e[8:])))
		if at < lastTime || offset < lastOffset || offset >= next && next > s.base {
			s.v.problem(s.path, "entry %d of the time index (timestamp %d, offset %d) is out of order or beyond the segment", i, at, offset)
			return nil
		}
		lastTime, lastOffset = at, offset
	}
	return nil
}
