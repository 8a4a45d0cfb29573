package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

func newStorage(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "storage", Short: "Look into a data directory of a node that is stopped, or prepare a new one", GroupID: "tools",
		Long:    "Look into a data directory: nothing is ever written, and while a node uses it, its newest batches may look torn. Or prepare one for a new node.",
		Example: "  dmq storage verify ./data\n  dmq storage dump --records ./data/orders-0/00000000000000000000.log",
	}, newStorageDump(a), newStorageVerify(a), newStorageFormat(a))
}

// maxRecordBytes bounds what one batch may decompress to.
const maxRecordBytes = 1 << 30

type dumpOptions struct {
	records bool
	limit   int64
}

func newStorageDump(a *app) *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use: "dump FILE|DIR...", Short: "Print what the files of a partition hold",
		Long: `Print what the files of a partition hold: the batches of a .log file, the entries of .index, .timeindex and .txnindex files,
and checkpoint files as they are. A directory is a partition: all its .log files are printed in order.`,
		Example: "  dmq storage dump ./data/orders-0\n  dmq storage dump --records -o json ./data/orders-0/00000000000000000000.log",
		Args:    args(1, -1, "a file or the directory of a partition"),
		RunE: func(_ *cobra.Command, paths []string) error {
			out := bufio.NewWriterSize(a.out, 64<<10)
			d := &dumper{o: o, json: a.output == "json", out: out}
			for _, path := range paths {
				if err := d.path(path); err != nil {
					return errors.Join(err, out.Flush())
				}
			}
			return out.Flush()
		},
	}
	cmd.Flags().BoolVar(&o.records, "records", false, "also print the records of each batch")
	cmd.Flags().Int64VarP(&o.limit, "num", "n", 0, "stop after this many batches or entries of each file; 0 is no limit")
	return cmd
}

// dumper prints files: a line for each batch or entry, or a JSON object on a line of its own.
type dumper struct {
	o    dumpOptions
	json bool
	out  *bufio.Writer
}

func (d *dumper) path(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return missing(path, err)
	}
	if !info.IsDir() {
		return d.file(path)
	}
	logs, err := logFiles(path)
	if err != nil {
		return err
	}
	if len(logs) == 0 {
		return &failure{code: codeNotFound, what: path + " has no .log files", next: "Name a partition's directory, such as ./data/orders-0"}
	}
	for _, name := range logs {
		if err := d.file(filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func missing(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return &failure{code: codeNotFound, what: path + " does not exist", cause: err}
	}
	return err
}

// logFiles lists the .log files of a partition's directory in the order of their offsets.
func logFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, missing(dir, err)
	}
	var out []string
	for _, e := range entries {
		if _, suffix, ok := segment.ParseFileName(e.Name()); ok && suffix == segment.LogSuffix {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

func (d *dumper) file(path string) error {
	if !dumpable(filepath.Base(path)) {
		return &failure{code: codeUsage, what: path + " is not one of a partition's or log directory's files", next: "Those are " + dumpableNames}
	}
	f, err := os.Open(path)
	if err != nil {
		return missing(path, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	if !d.json {
		if _, err := fmt.Fprintln(d.out, path); err != nil {
			return err
		}
	}
	base, suffix, ok := segment.ParseFileName(filepath.Base(path))
	if !ok {
		suffix = ""
	}
	switch suffix {
	case segment.LogSuffix:
		return d.log(path, f, base)
	case segment.IndexSuffix:
		return d.entries(f, 8, func(b []byte) any {
			return indexEntry{path, base + int64(int32(binary.BigEndian.Uint32(b))), int64(int32(binary.BigEndian.Uint32(b[4:])))}
		})
	case segment.TimeIndexSuffix:
		return d.entries(f, 12, func(b []byte) any {
			return timeIndexEntry{path, stamp(int64(binary.BigEndian.Uint64(b))), base + int64(int32(binary.BigEndian.Uint32(b[8:])))}
		})
	case segment.TxnIndexSuffix:
		return d.entries(f, 34, func(b []byte) any {
			n := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
			return txnIndexEntry{path, n(2), n(10), n(18), n(26)}
		})
	}
	if filepath.Ext(path) == ".snapshot" {
		return d.snapshot(path)
	}
	return d.text(path, f)
}

const dumpableNames = "*.log, *.index, *.timeindex, *.txnindex, *.snapshot, *-checkpoint, partition.metadata and meta.properties"

// dumpable reports whether a file of this name holds what dump can read.
func dumpable(name string) bool {
	if _, suffix, ok := segment.ParseFileName(name); ok {
		return slices.Contains([]string{segment.LogSuffix, segment.IndexSuffix, segment.TimeIndexSuffix, segment.TxnIndexSuffix, ".snapshot"}, suffix)
	}
	return strings.HasSuffix(name, "-checkpoint") || name == "partition.metadata" || name == "meta.properties"
}

type indexEntry struct {
	File     string `json:"file"`
	Offset   int64  `json:"offset"`
	Position int64  `json:"position"`
}

func (e indexEntry) String() string {
	return fmt.Sprintf("  offset %d  position %d", e.Offset, e.Position)
}

type timeIndexEntry struct {
	File      string `json:"file"`
	Timestamp string `json:"timestamp"`
	Offset    int64  `json:"offset"`
}

func (e timeIndexEntry) String() string {
	return fmt.Sprintf("  timestamp %s  offset %d", e.Timestamp, e.Offset)
}

type txnIndexEntry struct {
	File             string `json:"file"`
	ProducerID       int64  `json:"producer_id"`
	FirstOffset      int64  `json:"first_offset"`
	LastOffset       int64  `json:"last_offset"`
	LastStableOffset int64  `json:"last_stable_offset"`
}

func (e txnIndexEntry) String() string {
	return fmt.Sprintf("  producer %d  aborted %d..%d  last stable offset %d", e.ProducerID, e.FirstOffset, e.LastOffset, e.LastStableOffset)
}

// print writes one item in the chosen form.
func (d *dumper) print(item any) error {
	if d.json {
		line, err := json.Marshal(item)
		if err != nil {
			return err
		}
		_, err = d.out.Write(append(line, '\n'))
		return err
	}
	_, err := fmt.Fprintln(d.out, item)
	return err
}

// entries prints a file of fixed-size entries. Kafka allocates index files ahead: what follows the last entry is zeros.
func (d *dumper) entries(f io.Reader, size int, parse func([]byte) any) error {
	r := bufio.NewReader(f)
	b := make([]byte, size)
	for n := int64(0); d.o.limit == 0 || n < d.o.limit; n++ {
		if _, err := io.ReadFull(r, b); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return d.print(damage{Damage: "the last entry is incomplete"})
			}
			return err
		}
		if n > 0 && strings.Trim(string(b), "\x00") == "" {
			return nil
		}
		if err := d.print(parse(b)); err != nil {
			return err
		}
	}
	return nil
}

type damage struct {
	Damage string `json:"damage"`
}

func (x damage) String() string { return "  DAMAGED: " + x.Damage }

// text prints a checkpoint or properties file as it is.
func (d *dumper) text(path string, f io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err != nil {
		return err
	}
	if d.json {
		return d.print(map[string]string{"file": path, "text": string(data)})
	}
	for line := range strings.Lines(string(data)) {
		if _, err := fmt.Fprintf(d.out, "  %s\n", strings.TrimRight(line, "\r\n")); err != nil {
			return err
		}
	}
	return nil
}

// stamp is a record's timestamp for people; the raw number where it is no time (-1).
func stamp(millis int64) string {
	if millis < 0 {
		return fmt.Sprint(millis)
	}
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}

type dumpedBatch struct {
	File          string `json:"file"`
	BaseOffset    int64  `json:"base_offset"`
	LastOffset    int64  `json:"last_offset"`
	Count         int32  `json:"count"` // -1 in Kafka's old formats
	Position      int64  `json:"position"`
	Size          int    `json:"size"`
	Magic         int8   `json:"magic"`
	LeaderEpoch   int32  `json:"leader_epoch"`
	Codec         string `json:"codec"`
	TimestampType string `json:"timestamp_type"`
	MaxTimestamp  string `json:"max_timestamp"`
	ProducerID    int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	BaseSequence  int32  `json:"base_sequence"`
	Transactional bool   `json:"transactional"`
	Control       bool   `json:"control"`
	CRC           uint32 `json:"crc"`

	Records []jsonRecord `json:"records,omitempty"`
}

func (b dumpedBatch) String() string {
	var s strings.Builder
	add := func(format string, args ...any) { _, _ = fmt.Fprintf(&s, format, args...) } // a Builder does not fail
	add("  offsets %d..%d  count %d  position %d  size %d  magic %d  epoch %d", b.BaseOffset, b.LastOffset, b.Count, b.Position, b.Size, b.Magic, b.LeaderEpoch)
	add("  %s  %s %s  crc %d", b.Codec, b.TimestampType, b.MaxTimestamp, b.CRC)
	if b.ProducerID >= 0 {
		add("  producer %d/%d sequence %d", b.ProducerID, b.ProducerEpoch, b.BaseSequence)
	}
	if b.Transactional {
		add("  transactional")
	}
	if b.Control {
		add("  control")
	}
	for _, r := range b.Records {
		add("\n    offset %d  %s  key %s  value %s", *r.Offset, r.Timestamp, shortText(r.Key, r.KeyBase64), shortText(r.Value, r.ValueBase64))
		for _, h := range r.Headers {
			add("  %s=%s", h.Key, shortText(h.Value, h.ValueBase64))
		}
	}
	return s.String()
}

func shortText(text *string, encoded string) string {
	switch {
	case encoded != "":
		return "base64:" + shortened(&encoded)
	case text == nil:
		return "null"
	}
	return fmt.Sprintf("%q", shortened(text))
}

// log prints the batches of a segment up to its end or to the first that is damaged.
func (d *dumper) log(path string, f *os.File, base int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	scanner := segment.NewScanner(f, 0, info.Size(), base, true)
	for n := int64(0); d.o.limit == 0 || n < d.o.limit; n++ {
		b, err := scanner.Next()
		var bad *segment.BadBatchError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			text := fmt.Sprintf("%v; %d bytes are left", bad, info.Size()-bad.Position)
			if err := d.print(damage{Damage: text}); err != nil {
				return err
			}
			return &failure{code: codeUnhealthy, what: path + " is damaged or torn", why: text, next: "Check the whole: dmq storage verify " + filepath.Dir(path)}
		case err != nil:
			return err
		}
		dumped := describeBatch(path, b)
		if d.o.records && b.Magic == records.Magic {
			if dumped.Records, err = batchRecords(f, b); err != nil {
				return &failure{code: codeUnhealthy, what: fmt.Sprintf("%s: the batch at byte %d cannot be read", path, b.Position), why: err.Error()}
			}
		}
		if err := d.print(dumped); err != nil {
			return err
		}
	}
	return nil
}

func describeBatch(path string, b segment.Batch) dumpedBatch {
	out := dumpedBatch{
		File: path, BaseOffset: b.BaseOffset, LastOffset: b.LastOffset, Count: -1, Position: b.Position, Size: b.Size, Magic: b.Magic, LeaderEpoch: b.LeaderEpoch,
		MaxTimestamp: stamp(b.MaxTimestamp), TimestampType: "CreateTime", Codec: "unknown", ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
	}
	if b.Magic != records.Magic {
		return out
	}
	v2 := b.V2()
	out.Count, out.Codec, out.CRC = v2.RecordCount(), v2.Codec().String(), v2.CRC()
	if v2.TimestampType() == records.LogAppendTime {
		out.TimestampType = "LogAppendTime"
	}
	out.ProducerID, out.ProducerEpoch, out.BaseSequence = v2.ProducerID(), v2.ProducerEpoch(), v2.BaseSequence()
	out.Transactional, out.Control = v2.IsTransactional(), v2.IsControl()
	return out
}

// whole returns all bytes of a batch; the scanner keeps only the beginning of a large one.
func whole(f io.ReaderAt, b segment.Batch) (records.Batch, error) {
	if b.Whole {
		return b.V2(), nil
	}
	data := make([]byte, b.Size)
	if _, err := f.ReadAt(data, b.Position); err != nil {
		return nil, err
	}
	return data, nil
}

func batchRecords(f io.ReaderAt, b segment.Batch) ([]jsonRecord, error) {
	batch, err := whole(f, b)
	if err != nil {
		return nil, err
	}
	var out []jsonRecord
	err = batch.Iterate(maxRecordBytes, func(r *records.Record) error {
		offset := r.Offset
		j := jsonRecord{Offset: &offset, Timestamp: stamp(r.Timestamp), Headers: []jsonHeader{}}
		j.Key, j.KeyBase64 = jsonBytes(r.Key)
		j.Value, j.ValueBase64 = jsonBytes(r.Value)
		for _, h := range r.Headers {
			value, encoded := jsonBytes(h.Value)
			j.Headers = append(j.Headers, jsonHeader{Key: strings.ToValidUTF8(h.Key, "\uFFFD"), Value: value, ValueBase64: encoded})
		}
		out = append(out, j)
		return nil
	})
	return out, err
}

type dumpedProducer struct {
	File             string `json:"file"`
	ProducerID       int64  `json:"producer_id"`
	ProducerEpoch    int16  `json:"producer_epoch"`
	LastSequence     int32  `json:"last_sequence"`
	LastOffset       int64  `json:"last_offset"`
	LastTimestamp    string `json:"last_timestamp"`
	CoordinatorEpoch int32  `json:"coordinator_epoch"`
	TxnFirstOffset   int64  `json:"transaction_first_offset"` // -1: none is open
}

func (p dumpedProducer) String() string {
	s := fmt.Sprintf("  producer %d/%d  last sequence %d  last offset %d  %s", p.ProducerID, p.ProducerEpoch, p.LastSequence, p.LastOffset, p.LastTimestamp)
	if p.TxnFirstOffset >= 0 {
		s += fmt.Sprintf("  transaction open since %d", p.TxnFirstOffset)
	}
	return s
}

// snapshot prints the producers of a .snapshot file.
func (d *dumper) snapshot(path string) error {
	entries, err := producerstate.ReadSnapshot(vfs.OS(), path)
	if err != nil {
		return &failure{code: codeUnhealthy, what: path + " is damaged", why: err.Error()}
	}
	for i, e := range entries {
		if d.o.limit > 0 && int64(i) == d.o.limit {
			return nil
		}
		p := dumpedProducer{path, e.ProducerID, e.ProducerEpoch, e.LastSequence, e.LastOffset, stamp(e.LastTimestamp), e.CoordinatorEpoch, e.CurrentTxnFirstOffset}
		if err := d.print(p); err != nil {
			return err
		}
	}
	return nil
}
