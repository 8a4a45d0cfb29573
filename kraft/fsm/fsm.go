package fsm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
)

// FSM is raft's state machine over the image.
type FSM struct {
	logger *slog.Logger
	fatal  func(error)
	image  atomic.Pointer[image.Image]
	last   atomic.Uint64 // index of the last entry that was handed to the state machine since the start

	mu         sync.Mutex // guards the fields below; held while publishers run, so that a new one misses nothing
	publishers []image.Publisher
	failed     error // a committed command could not be read: nothing may be applied any more
	unsaved    int64 // bytes of commands that no snapshot holds
	most       int64 // of those, before due is told
	due        chan struct{}
}

// New returns a state machine with the empty image. fatal is called once, when the log holds something this program cannot
// read.
func New(logger *slog.Logger, fatal func(error), publishers ...image.Publisher) *FSM {
	f := &FSM{logger: logger, fatal: fatal, publishers: publishers}
	f.image.Store(image.Empty())
	return f
}

// SnapshotAfter returns a channel that is told when so many bytes of commands were applied that no snapshot holds, and again with every
// command after that until there is one. It is called before anything is applied.
func (f *FSM) SnapshotAfter(bytes int64) (due <-chan struct{}) {
	f.most, f.due = bytes, make(chan struct{}, 1)
	return f.due
}

// Image returns the newest image. Never nil.
func (f *FSM) Image() *image.Image { return f.image.Load() }

// Applied returns the index of the last command, nudges included, that was applied and published since the start; raft hands
// out no other entries. What a snapshot holds does not count.
func (f *FSM) Applied() uint64 { return f.last.Load() }

// Err returns why applying has stopped, if it has.
func (f *FSM) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// Subscribe adds a publisher. Before it returns the publisher has been told of the present image as one delta from the
// empty one; every later delta follows on from it.
func (f *FSM) Subscribe(p image.Publisher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.Publish(image.Diff(image.Empty(), f.image.Load()))
	f.publishers = append(slices.Clip(f.publishers), p)
}

// Apply implements raft's FSM.
func (f *FSM) Apply(l *hraft.Log) any { return f.ApplyBatch([]*hraft.Log{l})[0] }

// ApplyBatch implements raft's BatchingFSM. Responses are nil or an error.
func (f *FSM) ApplyBatch(logs []*hraft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	responses := make([]any, len(logs))
	b := image.NewBuilder(f.image.Load())
	for i, l := range logs {
		if l.Type != hraft.LogCommand || len(l.Data) == 0 { // an empty command is a nudge
			continue
		}
		if err := f.applyLocked(b, l); err != nil {
			responses[i] = err
		}
	}
	if next, delta := b.Build(); delta != nil {
		f.publishLocked(next, delta)
	}
	f.last.Store(logs[len(logs)-1].Index)
	f.countLocked(logs)
	return responses
}

// countLocked counts bytes for the next snapshot.
func (f *FSM) countLocked(logs []*hraft.Log) {
	for _, l := range logs {
		f.unsaved += int64(len(l.Data))
	}
	if f.due == nil || f.unsaved < f.most {
		return
	}
	select {
	case f.due <- struct{}{}:
	default:
	}
}

func (f *FSM) applyLocked(b *image.Builder, l *hraft.Log) error {
	if f.failed != nil {
		return f.failed
	}
	c, err := metadata.DecodeCommand(l.Data)
	if err != nil {
		f.failed = fmt.Errorf("apply metadata log at %d: %w", l.Index, err)
		f.logger.Error("metadata log cannot be applied", slog.Uint64("index", l.Index), slog.Any("err", err))
		f.fatal(f.failed)
		return f.failed
	}
	err = b.Apply(int64(l.Index), c)
	if err != nil && !errors.Is(err, image.ErrStaleRevision) {
		f.logger.Error("metadata command refused", slog.Uint64("index", l.Index), slog.Any("err", err))
	}
	return err
}

func (f *FSM) publishLocked(next *image.Image, delta *image.Delta) {
	f.image.Store(next)
	for _, p := range f.publishers {
		p.Publish(delta)
	}
}

// Snapshot implements raft's FSM.
func (f *FSM) Snapshot() (hraft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return nil, f.failed // a state that misses a command must not be kept
	}
	return &snapshot{fsm: f, image: f.image.Load(), bytes: f.unsaved}, nil
}

// Restore implements raft's FSM: it replaces the image, and publishes the difference when there was one already.
func (f *FSM) Restore(r io.ReadCloser) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read metadata snapshot: %w", err)
	}
	next, err := DecodeSnapshot(data)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsaved = 0
	f.publishLocked(next, image.Diff(f.image.Load(), next))
	return nil
}

type snapshot struct {
	fsm   *FSM
	image *image.Image
	bytes int64 // of the commands that it holds and the one before does not
}

// Persist implements raft's FSMSnapshot.
func (s *snapshot) Persist(sink hraft.SnapshotSink) error {
	if err := EncodeSnapshot(sink, s.image); err != nil {
		return errors.Join(fmt.Errorf("write metadata snapshot: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	s.fsm.mu.Lock()
	defer s.fsm.mu.Unlock()
	s.fsm.unsaved = max(0, s.fsm.unsaved-s.bytes) // a snapshot may have been restored meanwhile
	return nil
}

// Release implements raft's FSMSnapshot.
func (s *snapshot) Release() {}
