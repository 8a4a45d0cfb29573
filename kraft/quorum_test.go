//go:build !wasip1

package kraft_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	hraft "github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger {
	if os.Getenv("VERBOSE") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// node is a member over a disk that outlives it.
type node struct {
	*kraft.Quorum
	disk *raftstore.Disk
	o    kraft.Options
}

func start(tb testing.TB, disk *raftstore.Disk, change func(o *kraft.Options)) (*node, error) {
	tb.Helper()
	o := kraft.Options{
		NodeID:    1,
		Store:     must(disk.Open(quiet(), func(err error) { tb.Errorf("store: %v", err) })),
		Bootstrap: true,
		Logger:    quiet(),
		Fatal:     func(err error) { tb.Errorf("fatal: %v", err) },
	}
	if change != nil {
		change(&o)
	}
	q, err := kraft.Open(tb.Context(), o)
	return &node{q, disk, o}, err
}

func open(tb testing.TB, disk *raftstore.Disk, change func(o *kraft.Options)) *node {
	tb.Helper()
	n, err := start(tb, disk, change)
	check(tb, err)
	return n
}

func config(name, value string) []metadata.Record {
	return []metadata.Record{&metadata.ConfigRecord{ResourceType: image.ResourceBroker, Name: name, Value: &value}}
}

func TestQuorum_OneVoter(t *testing.T) {
	disk := raftstore.NewDisk()
	n := open(t, disk, func(o *kraft.Options) {
		o.ClusterID = "a-cluster"
		o.BootstrapRecords = func(context.Context) ([]metadata.Record, error) {
			return []metadata.Record{&metadata.FeatureLevelRecord{Name: "metadata.version", Level: 33}}, nil
		}
	})
	if img := n.Image(); img.ClusterID != "a-cluster" || img.Features["metadata.version"] != 33 || img.Revision != 1 {
		t.Errorf("the new cluster's image: %+v", img)
	}
	if !n.IsLeader() {
		t.Error("the sole voter does not lead")
	}
	id, term, ok := n.Leader()
	if id != 1 || term < 1 || !ok {
		t.Errorf("leader %d of term %d, %v", id, term, ok)
	}
	version := must(n.Propose(t.Context(), config("k", "v")))
	if img := n.Image(); img.Version != version || img.Revision != 2 {
		t.Errorf("version %d revision %d after a proposal at %d", img.Version, img.Revision, version)
	}
	check(t, n.VerifyLeader(t.Context()))
	check(t, n.Barrier(t.Context()))
	if n.Image().Version != version {
		t.Error("a barrier counted as a command")
	}
	s := n.Status()
	if s.Leader != 1 || s.CommitIndex != s.LastIndex || len(s.Voters) != 1 || len(s.Observers) != 0 {
		t.Errorf("status %+v", s)
	}
	want := n.Image()
	check(t, n.Close())
	check(t, n.Close())
	if _, err := n.Propose(t.Context(), config("k", "v")); !errors.Is(err, kraft.ErrClosed) {
		t.Errorf("proposal to a closed quorum: %v", err)
	}
	if err := n.Barrier(t.Context()); !errors.Is(err, kraft.ErrClosed) {
		t.Errorf("barrier of a closed quorum: %v", err)
	}

	n = open(t, disk, func(o *kraft.Options) {
		o.BootstrapRecords = func(context.Context) ([]metadata.Record, error) { return nil, errors.New("must not be called again") }
	})
	if diff := cmp.Diff(want, n.Image()); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	check(t, n.Close())

	_, err := start(t, disk, func(o *kraft.Options) { o.ClusterID = "another" })
	if errcode.KindOf(err) != errcode.KindInconsistentClusterID {
		t.Errorf("a store of another cluster: %v", err)
	}
}

func TestQuorum_ChoosesClusterID(t *testing.T) {
	n := open(t, raftstore.NewDisk(), nil)
	if _, err := protocol.ParseTopicID(n.Image().ClusterID); err != nil {
		t.Errorf("cluster id: %v", err)
	}
	check(t, n.Close())
}

func TestQuorum_FailedBeginningIsTriedAgain(t *testing.T) {
	disk := raftstore.NewDisk()
	boom := errors.New("no")
	_, err := start(t, disk, func(o *kraft.Options) {
		o.BootstrapRecords = func(context.Context) ([]metadata.Record, error) { return nil, boom }
	})
	if !errors.Is(err, boom) {
		t.Fatalf("open: %v", err)
	}
	n := open(t, disk, nil)
	if n.Image().ClusterID == "" {
		t.Error("no cluster")
	}
	check(t, n.Close())
}

func TestQuorum_WithoutBootstrapWaits(t *testing.T) {
	n := open(t, raftstore.NewDisk(), func(o *kraft.Options) { o.Bootstrap = false })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := n.WaitLeader(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a node without a quorum found a leader: %v", err)
	}
	_, err := n.Propose(t.Context(), config("k", "v"))
	if errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("proposal without a leader: %v", err)
	}
	if err := n.VerifyLeader(t.Context()); errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("verify without a leader: %v", err)
	}
	check(t, n.Close())
}

func TestQuorum_ConditionalProposals(t *testing.T) {
	n := open(t, raftstore.NewDisk(), nil)
	revision := n.Image().Revision
	var pipeline []*kraft.Proposal
	for i := range 5 { // each counts on the one before
		pipeline = append(pipeline, n.ProposeAt(revision+int64(i), config("k", fmt.Sprint(i))))
	}
	stale := n.ProposeAt(revision+3, config("k", "stale"))
	refused := n.ProposeAt(revision+5, []metadata.Record{config("k", "half")[0], &metadata.RemoveTopicRecord{ID: protocol.TopicID{1}}})
	for i, p := range pipeline {
		if _, err := p.Wait(); err != nil {
			t.Errorf("proposal %d: %v", i, err)
		}
	}
	if _, err := stale.Wait(); !errors.Is(err, image.ErrStaleRevision) {
		t.Errorf("a stale proposal: %v", err)
	}
	var rejected *image.RejectedError
	if _, err := refused.Wait(); !errors.As(err, &rejected) {
		t.Errorf("a proposal that does not fit: %v", err)
	}
	img := n.Image()
	if got := img.Configs[image.Resource{Type: image.ResourceBroker}]["k"]; got != "4" || img.Revision != revision+5 {
		t.Errorf("k = %s at revision %d", got, img.Revision)
	}
	check(t, n.Close())
}

// recorder checks that deltas follow on from one another.
type recorder struct {
	mu   sync.Mutex
	last *image.Image
	errs []string
	n    int
}

func (r *recorder) Publish(d *image.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.last == nil && d.Prev.Revision != 0:
		r.errs = append(r.errs, "the first delta is not from the empty image")
	case r.last != nil && d.Prev != r.last:
		r.errs = append(r.errs, fmt.Sprintf("delta %d does not follow on from the one before", r.n))
	}
	r.last = d.Next
	r.n++
}

func TestQuorum_PublishesBeforeItAnswers(t *testing.T) {
	early, late := &recorder{}, &recorder{}
	n := open(t, raftstore.NewDisk(), func(o *kraft.Options) { o.Publishers = []image.Publisher{early} })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				version, err := n.Propose(t.Context(), config(fmt.Sprintf("%d-%d", g, i), "v"))
				if err != nil {
					t.Error(err)
					return
				}
				early.mu.Lock()
				if early.last.Version < version {
					t.Errorf("answered at %d, published up to %d", version, early.last.Version)
				}
				early.mu.Unlock()
			}
		})
	}
	n.Subscribe(late)
	wg.Wait()
	for _, r := range []*recorder{early, late} {
		if len(r.errs) > 0 || r.last != n.Image() {
			t.Errorf("%v, ends at the image: %v", r.errs, r.last == n.Image())
		}
	}
	check(t, n.Close())
}

func TestQuorum_SnapshotAndRestore(t *testing.T) {
	disk := raftstore.NewDisk()
	n := open(t, disk, func(o *kraft.Options) { o.SnapshotEntries = 10 })
	for i := range 100 {
		must(n.Propose(t.Context(), config(fmt.Sprint(i), "v")))
		if i%30 == 29 {
			check(t, n.Snapshot(t.Context()))
		}
	}
	check(t, n.Snapshot(t.Context()))
	check(t, n.Snapshot(t.Context())) // nothing new
	for i := range 5 {
		must(n.Propose(t.Context(), config(fmt.Sprint(i), "w")))
	}
	want := n.Image()
	check(t, n.Close())
	s := must(disk.Open(quiet(), nil))
	if first := must(s.FirstIndex()); first < 50 {
		t.Errorf("the log still begins at %d", first)
	}
	check(t, s.Close())

	n = open(t, disk, nil)
	if diff := cmp.Diff(want, n.Image()); diff != "" {
		t.Errorf("after a restart from a snapshot: %s", diff)
	}
	check(t, n.Close())
}

// TestQuorum_SnapshotAfterBytes makes few commands, which are large: there is a snapshot, and the log begins later.
func TestQuorum_SnapshotAfterBytes(t *testing.T) {
	disk := raftstore.NewDisk()
	var store kraft.Store
	n := open(t, disk, func(o *kraft.Options) { o.SnapshotBytes, store = 10_000, o.Store })
	value := strings.Repeat("v", 1_000)
	for i, first := 0, uint64(0); first < 30; i++ {
		if i == 10_000 {
			t.Fatalf("after %d commands the log still begins at %d", i, first)
		}
		must(n.Propose(t.Context(), config(fmt.Sprint(i%10), value)))
		first = must(store.FirstIndex())
	}
	list := must(store.Snapshots().List())
	if len(list) == 0 {
		t.Error("there is no snapshot")
	}
	want := n.Image()
	check(t, n.Close())
	n = open(t, disk, nil)
	if diff := cmp.Diff(want, n.Image()); diff != "" {
		t.Errorf("after a restart from a snapshot: %s", diff)
	}
	check(t, n.Close())
}

func TestQuorum_DoesNotBootstrapAMemberOfAnother(t *testing.T) {
	disk := raftstore.NewDisk()
	s := must(disk.Open(quiet(), nil))
	check(t, s.SetUint64([]byte("CurrentTerm"), 5))
	check(t, s.Close())
	if _, err := start(t, disk, nil); err == nil || !strings.Contains(err.Error(), "another quorum") {
		t.Errorf("a node that voted elsewhere began its own quorum: %v", err)
	}
}

func TestQuorum_RefusesGapAfterLostSnapshots(t *testing.T) {
	disk := raftstore.NewDisk()
	s := must(disk.Open(quiet(), nil))
	check(t, s.StoreLog(&hraft.Log{Index: 100, Term: 3}))
	check(t, s.SetUint64([]byte("CurrentTerm"), 3))
	check(t, s.Close())
	_, err := start(t, disk, nil)
	if err == nil || !strings.Contains(err.Error(), "metadata in between is lost") {
		t.Errorf("opened a log with a gap: %v", err)
	}
}

func TestQuorum_RefusesNewerRecords(t *testing.T) {
	disk := raftstore.NewDisk()
	n := open(t, disk, nil)
	check(t, n.Close())
	s := must(disk.Open(quiet(), nil))
	last := must(s.LastIndex())
	term := must(s.GetUint64([]byte("CurrentTerm")))
	newer := (&metadata.Command{Records: []metadata.Record{&metadata.ClusterRecord{ClusterID: "x"}}}).Encode()
	newer[4] = 9 // the version of the record
	check(t, s.StoreLog(&hraft.Log{Index: last + 1, Term: term, Type: hraft.LogCommand, Data: newer}))
	check(t, s.Close())
	var fatal error
	_, err := start(t, disk, func(o *kraft.Options) { o.Fatal = func(err error) { fatal = err } })
	var unsupported *metadata.UnsupportedError
	if !errors.As(err, &unsupported) || !errors.As(fatal, &unsupported) {
		t.Errorf("opened a log of a newer version: %v, hook got %v", err, fatal)
	}
}

func TestQuorum_StoreFailureStopsProposals(t *testing.T) {
	disk := raftstore.NewDisk()
	died := make(chan error, 1)
	n := open(t, disk, func(o *kraft.Options) {
		check(t, o.Store.Close())
		o.Store = must(disk.Open(quiet(), func(err error) { died <- err }))
	})
	boom := errors.New("input/output error")
	disk.FailWrites(func() error { return boom })
	if _, err := n.Propose(t.Context(), config("k", "v")); errcode.KindOf(err) != errcode.KindRequestTimedOut {
		t.Errorf("proposal on a failed store: %v", err)
	}
	if err := <-died; !errors.Is(err, boom) {
		t.Errorf("hook got %v", err)
	}
	disk.FailWrites(nil)
	if _, err := n.Propose(t.Context(), config("k", "v")); err == nil {
		t.Error("a failed store took a proposal")
	}
	check(t, n.Close())
	n = open(t, disk, nil)
	if _, ok := n.Image().Configs[image.Resource{Type: image.ResourceBroker}]; ok {
		t.Error("a proposal that failed was applied")
	}
	check(t, n.Close())
}
