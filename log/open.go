package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/epoch"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
)

// Open opens the log in a folder and recovers what a crash left. Where the folder is missing the log is empty, and the folder is
// made for the first record. When it fails, nothing was removed but what a crash or a cleaner left half done.
func Open(o Options) (*Log, error) {
	l := newLog(o)
	if err := l.open(); err != nil {
		for _, s := range l.list() {
			s.Close() //nolint:errcheck // err is why
		}
		return nil, fmt.Errorf("open log %s: %w", l.o.Dir, storageErr(err))
	}
	return l, nil
}

func newLog(o Options) *Log {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Files == nil {
		o.Files = segment.NewFiles(o.FS, 0)
	}
	l := &Log{o: o, fs: o.FS}
	l.logger = o.Logger.With(slog.String("component", "log"),
		slog.String("topic", o.TopicPartition.Topic), slog.Int("partition", int(o.TopicPartition.Partition)))
	l.config.Store(&o.Config)
	l.segments.Store(new([]*segment.Segment))
	l.unstable.Store(noOffset)
	l.tail.cache = o.TailCache
	return l
}

func (l *Log) open() error {
	names, err := l.readDir()
	if err != nil {
		return err
	}
	if names, err = l.finishInterrupted(names); err != nil {
		return err
	}
	if err := l.loadSegments(names); err != nil {
		return err
	}
	if err := l.openEpochs(); err != nil {
		return err
	}
	l.producers, err = producerstate.Open(producerstate.Options{
		FS: l.fs, Dir: l.o.Dir, TopicPartition: l.o.TopicPartition, Names: names,
		ExpirationMs: l.o.Config.ProducerIDExpirationMs, Logger: l.o.Logger,
	})
	if err != nil {
		return err
	}
	end, err := l.recover(names)
	if err != nil {
		return err
	}
	return l.start(end)
}

// openEpochs reads the leader-epoch checkpoint. What cannot be read is made anew of the batches, which name their epochs.
func (l *Log) openEpochs() (err error) {
	l.epochs, err = epoch.Open(l.fs, filepath.Join(l.o.Dir, epoch.FileName))
	fault, malformed := errors.AsType[*checkpoint.FormatError](err)
	if !malformed {
		return err
	}
	l.logger.Warn("make the leader-epoch checkpoint anew", slog.Any("reason", fault))
	if err := l.remove(epoch.FileName); err != nil {
		return err
	}
	if l.epochs, err = epoch.Open(l.fs, filepath.Join(l.o.Dir, epoch.FileName)); err != nil {
		return err
	}
	for _, s := range l.list() {
		err := s.Walk(s.BaseOffset(), func(b *segment.Batch) (bool, error) {
			l.assignEpochOf(b)
			return true, nil
		})
		if _, damaged := errors.AsType[*CorruptError](err); err != nil && !damaged { // who reads there is told
			return err
		}
	}
	return nil
}

// assignEpochOf notes the leader epoch of a batch that is read in order.
func (l *Log) assignEpochOf(b *segment.Batch) {
	if latest, ok := l.epochs.Latest(); b.LeaderEpoch >= 0 && (!ok || b.LeaderEpoch > latest) {
		l.epochs.Assign(b.LeaderEpoch, b.BaseOffset)
	}
}

// start sets the offsets of a log whose segments are whole, and reloads what depends on them.
func (l *Log) start(end int64) error {
	list := l.list()
	start := max(l.o.LogStartOffset, list[0].BaseOffset())
	l.logStart.Store(start)
	l.end.Store(end)
	l.highWatermark.Store(max(start, min(l.o.HighWatermark, end)))
	if l.o.CleanedOffset <= end { // else what comes there is not what was compacted
		l.cleaned.Store(max(0, l.o.CleanedOffset))
	}
	l.epochs.TruncateFromEnd(end)
	l.epochs.TruncateFromStart(start)
	if err := l.epochs.Flush(); err != nil {
		return err
	}
	if err := l.loadProducers(end); err != nil {
		return err
	}
	recovered := end
	empty := len(list) == 1 && list[0].Size() == 0 // nothing in it can be lost: a new partition costs no sync here
	if l.recovery.Checked > 0 && !empty {
		var err error
		if recovered, err = l.syncRecovered(end); err != nil {
			return err
		}
	}
	l.sync.init(recovered, end)
	l.unsettled = empty // its segment, and even its folder, may have just been made
	return nil
}

// readDir lists the partition's folder. A folder that is missing, and that no checkpoint speaks of, never held a record.
func (l *Log) readDir() ([]string, error) {
	entries, err := l.fs.ReadDir(l.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		l.folderless.Store(max(l.o.RecoveryPoint, l.o.HighWatermark, l.o.LogStartOffset) <= 0)
		if l.folderless.Load() {
			return []string{}, nil
		}
		return nil, l.fs.MkdirAll(l.o.Dir, 0o755)
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (l *Log) path(name string) string { return filepath.Join(l.o.Dir, name) }

// remove removes a file of the folder, which may be gone.
func (l *Log) remove(name string) error {
	if err := l.fs.Remove(l.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// loadSegments finds the segments and makes one where there is none. Index files without a log are removed.
func (l *Log) loadSegments(names []string) error {
	var bases []int64
	logs := make(map[int64]bool)
	for _, name := range names {
		if base, suffix, ok := segment.ParseFileName(name); ok && suffix == segment.LogSuffix {
			bases = append(bases, base)
			logs[base] = true
		}
	}
	for _, name := range names {
		base, suffix, ok := segment.ParseFileName(name)
		if !ok || logs[base] {
			continue
		}
		switch suffix {
		case segment.IndexSuffix, segment.TimeIndexSuffix, segment.TxnIndexSuffix:
			l.logger.Warn("remove an index without a log", slog.String("path", l.path(name)))
			if err := l.remove(name); err != nil {
				return err
			}
		}
	}
	slices.Sort(bases)
	list := make([]*segment.Segment, 0, max(1, len(bases)))
	for i, base := range bases {
		info, err := l.fs.Stat(l.path(segment.FileName(base, segment.LogSuffix)))
		if err != nil {
			return err
		}
		limit := int64(math.MaxInt64)
		if i+1 < len(bases) {
			limit = bases[i+1]
		}
		list = append(list, segment.Open(l.segmentOptions(base), info.Size(), limit))
	}
	switch {
	case l.folderless.Load():
		list = append(list, segment.New(l.segmentOptions(0)))
	case len(list) == 0:
		fresh, err := segment.Create(l.segmentOptions(max(0, l.o.LogStartOffset)))
		if err != nil {
			return err
		}
		list = append(list, fresh)
	}
	l.segments.Store(&list)
	return nil
}

// loadProducers makes the producer state that of the whole log.
func (l *Log) loadProducers(end int64) error {
	list := l.list()
	bases := make([]int64, len(list))
	for i, s := range list {
		bases[i] = s.BaseOffset()
	}
	if err := l.producers.RemoveStraySnapshots(bases); err != nil {
		return err
	}
	return l.reloadProducers(end)
}

// syncRecovered makes durable what a killed process may have left in the page cache and what recovery has written, and
// returns the recovery point. In OS-flush mode nobody waits for that: the recovery point stays where it was.
func (l *Log) syncRecovered(end int64) (recoveryPoint int64, err error) {
	checked := l.list()
	checked = checked[len(checked)-min(len(checked), l.recovery.Checked):] // those are the last
	// Where the log ends at the recovery point all batches were durable before, and only indexes are new. The last segment's
	// are synced when it is rolled.
	indexesOnly := end == l.o.RecoveryPoint && l.recovery.CutBytes == 0
	older := checked[:max(0, len(checked)-1)]
	l.sync.dir = true
	if indexesOnly {
		checked = older
	}
	for _, s := range checked {
		s.MarkDirty()
	}
	if !l.o.Config.durable() {
		l.sync.segments = append(l.sync.segments, older...)
		return min(end, l.o.RecoveryPoint), nil
	}
	for _, s := range checked {
		if err := s.SyncAll(); err != nil {
			return 0, err
		}
	}
	if len(checked) == 0 {
		return end, nil
	}
	return end, l.fs.SyncDir(l.o.Dir)
}

// finishInterrupted removes what was to be removed, and completes the replacement of segments by a cleaner, as Kafka's
// LogLoader does. It returns the names that are left.
func (l *Log) finishInterrupted(names []string) ([]string, error) {
	cleaned := int64(math.MaxInt64) // the lowest offset of a .cleaned file
	var gone, swaps []string
	for _, name := range names {
		base, suffix, ok := segment.ParseFileName(name)
		if !ok {
			continue
		}
		switch filepath.Ext(suffix) {
		case segment.DeletedSuffix:
			gone = append(gone, name)
		case segment.CleanedSuffix:
			gone = append(gone, name)
			cleaned = min(cleaned, base)
		case segment.SwapSuffix:
			swaps = append(swaps, name)
		}
	}
	if len(gone)+len(swaps) == 0 {
		return names, nil
	}
	// A cleaner makes .swap files of all .cleaned ones, the highest offset first: those above a .cleaned one are not complete.
	swaps = slices.DeleteFunc(swaps, func(name string) bool {
		base, _, _ := segment.ParseFileName(name)
		if base >= cleaned {
			gone = append(gone, name)
		}
		return base >= cleaned
	})
	for _, name := range gone {
		if err := l.remove(name); err != nil {
			return nil, err
		}
	}
	if err := l.finishSwap(names, swaps); err != nil {
		return nil, err
	}
	if err := l.fs.SyncDir(l.o.Dir); err != nil {
		return nil, err
	}
	return l.readDir()
}

// finishSwap removes the segments that the .swap files were made of and gives those their names: the .log files first and
// durably, for as long as one of them is .swap all others in its range are taken for old ones.
func (l *Log) finishSwap(names, swaps []string) error {
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, name := range swaps {
		base, suffix, _ := segment.ParseFileName(name)
		if suffix != segment.LogSuffix+segment.SwapSuffix {
			continue
		}
		next, err := l.nextOffsetOf(name, base)
		if err != nil {
			return err
		}
		low, high = min(low, base), max(high, next)
	}
	for _, name := range names {
		base, suffix, ok := segment.ParseFileName(name)
		if !ok || base < low || base >= high {
			continue
		}
		switch suffix {
		case segment.LogSuffix, segment.IndexSuffix, segment.TimeIndexSuffix, segment.TxnIndexSuffix:
			if err := l.remove(name); err != nil {
				return err
			}
		}
	}
	for _, logs := range []bool{true, false} {
		if err := l.fs.SyncDir(l.o.Dir); err != nil {
			return err
		}
		for _, name := range swaps {
			to := name[:len(name)-len(segment.SwapSuffix)]
			if strings.HasSuffix(to, segment.LogSuffix) != logs {
				continue
			}
			l.logger.Info("complete an interrupted replacement", slog.String("path", l.path(to)))
			if err := l.fs.Rename(l.path(name), l.path(to)); err != nil {
				return err
			}
		}
	}
	return nil
}

// nextOffsetOf returns the offset after the last batch of a file.
func (l *Log) nextOffsetOf(name string, base int64) (int64, error) {
	f, err := l.fs.OpenFile(l.path(name), vfs.ReadOnly, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	sc := segment.NewScanner(f, 0, info.Size(), base, false)
	for {
		if _, err := sc.Next(); err != nil {
			var bad *segment.BadBatchError
			if errors.As(err, &bad) || errors.Is(err, io.EOF) {
				return sc.NextOffset(), nil
			}
			return 0, err
		}
	}
}
