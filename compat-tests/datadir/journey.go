package datadir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Options say what Run carries where.
type Options struct {
	Kafka peer.Home
	// Start starts the broker that is tested on a folder: dmq, or Kafka again, which proves the test.
	Start   func(ctx context.Context, o peer.Options) (*peer.Broker, error)
	IsKafka bool
	Dir     string // scratch
	Out     io.Writer
	Verbose bool
}

type journey struct {
	Options
	r *report.Report
}

// Run goes there and back.
func Run(ctx context.Context, o Options) *report.Report {
	j := &journey{Options: o, r: report.New(o.Out, "data directory")}
	j.r.Verbose = o.Verbose
	var want *State
	written := filepath.Join(o.Dir, "written-by-kafka")
	if !j.r.Check("Kafka writes", func() (err error) { want, err = j.kafkaWrites(ctx, written); return err }) {
		return j.r
	}
	records, batches := want.Count()
	fmt.Fprintf(o.Out, "data directory: Kafka wrote %d records in %d batches, %d topics\n", records, batches, len(want.Topics))
	j.r.Check("a directory that Kafka stopped", func() error { return j.opens(ctx, written, "stopped", want, nil) })
	j.r.Check("a directory that Kafka did not stop", func() error { return j.opens(ctx, written, "killed", want, unclean) })
	j.r.Check("a directory whose indexes are gone", func() error { return j.opens(ctx, written, "no-indexes", want, withoutIndexes) })
	if !o.IsKafka {
		j.r.Check("a directory without cluster metadata", func() error { return j.withoutMetadata(ctx, written, want) })
	}
	j.r.Check("the way back", func() error { return j.back(ctx) })
	return j.r
}

func (j *journey) startKafka(ctx context.Context, name, dataDir string, unformatted bool) (*peer.Broker, error) {
	return peer.StartKafka(ctx, j.Kafka, peer.Options{Dir: filepath.Join(j.Dir, name), DataDir: dataDir, Unformatted: unformatted})
}

// kafkaWrites fills a Kafka directory, with a restart in between, and notes what clients see.
func (j *journey) kafkaWrites(ctx context.Context, dataDir string) (s *State, err error) {
	b, err := j.startKafka(ctx, "kafka", dataDir, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	w, err := newWriter(b.Addr)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := errors.Join(w.fill(ctx), w.transact(ctx)); err != nil {
		return nil, err
	}
	if err := b.Stop(); err != nil {
		return nil, err
	}
	if err := b.Restart(ctx); err != nil {
		return nil, err
	}
	if err := w.more(ctx); err != nil {
		return nil, err
	}
	return Read(ctx, b.Addr)
}

// unclean takes the clean-shutdown mark away and writes half a batch behind a log, as a crash leaves it.
func unclean(dir string) error {
	if err := os.Remove(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "codecs-0", "00000000000000000000.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4})
	return errors.Join(err, f.Close())
}

// withoutIndexes removes everything that can be made again from the logs.
func withoutIndexes(dir string) error {
	if err := unclean(dir); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "__") {
			return err
		}
		if strings.HasSuffix(path, "index") || strings.HasSuffix(path, ".snapshot") {
			return os.Remove(path)
		}
		return nil
	})
}

func metaProperties(dir string) (map[string]string, error) {
	f, err := os.Open(filepath.Join(dir, "meta.properties"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), "="); ok {
			out[k] = v
		}
	}
	return out, nil
}

// opens starts the tested broker on a copy of a Kafka directory, compares, writes on, restarts and compares again.
func (j *journey) opens(ctx context.Context, from, name string, want *State, change func(string) error) (err error) {
	dataDir := filepath.Join(j.Dir, name, "data")
	if err := os.CopyFS(dataDir, os.DirFS(from)); err != nil {
		return err
	}
	if change != nil {
		if err := change(dataDir); err != nil {
			return err
		}
	}
	before, err := metaProperties(dataDir)
	if err != nil {
		return err
	}
	b, err := j.Start(ctx, peer.Options{Dir: filepath.Join(j.Dir, name), DataDir: dataDir, Unformatted: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	aspects := Aspects{IDs: true, Configs: true, LeaderEpochs: true}
	got, err := Read(ctx, b.Addr)
	if err != nil {
		return err
	}
	if err := Same(want, got, aspects); err != nil {
		return err
	}
	if got.ClusterID != want.ClusterID {
		return fmt.Errorf("cluster id %s, want %s", got.ClusterID, want.ClusterID)
	}
	after, err := metaProperties(dataDir)
	if err != nil {
		return err
	}
	for _, key := range []string{"cluster.id", "node.id", "directory.id"} {
		if after[key] != before[key] {
			return fmt.Errorf("meta.properties has %s=%s, want %s", key, after[key], before[key])
		}
	}
	w, err := newWriter(b.Addr)
	if err != nil {
		return err
	}
	defer w.close()
	for _, topic := range []string{"codecs", "segments", "idempotent", "deleted", "empty", "transactional"} {
		if err := w.produce(ctx, topic, 0, "written on", load{codec: codecs["lz4"], idempotent: true, batches: 3, records: 10, bytes: 100}); err != nil {
			return fmt.Errorf("write on to %s: %w", topic, err)
		}
	}
	then, err := Read(ctx, b.Addr)
	if err != nil {
		return err
	}
	for topic, t := range then.Topics { // what was there is still there, and in front
		for p, part := range t.Partitions {
			old := want.Topics[topic].Partitions[p]
			if len(part.Batches) < len(old.Batches) || len(old.Batches) > 0 && part.Batches[len(old.Batches)-1] != old.Batches[len(old.Batches)-1] {
				return fmt.Errorf("%s-%d: writing on changed what was there", topic, p)
			}
		}
	}
	if err := b.Stop(); err != nil {
		return err
	}
	if err := b.Restart(ctx); err != nil {
		return err
	}
	again, err := Read(ctx, b.Addr)
	if err != nil {
		return err
	}
	return Same(then, again, aspects)
}

// withoutMetadata loses Kafka's metadata log: topics come from the folders, and nothing may be cleaned away.
func (j *journey) withoutMetadata(ctx context.Context, from string, want *State) (err error) {
	dataDir := filepath.Join(j.Dir, "no-metadata", "data")
	if err := os.CopyFS(dataDir, os.DirFS(from)); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dataDir, "__cluster_metadata-0")), os.RemoveAll(filepath.Join(dataDir, "bootstrap.checkpoint"))); err != nil {
		return err
	}
	b, err := j.Start(ctx, peer.Options{Dir: filepath.Join(j.Dir, "no-metadata"), DataDir: dataDir, Unformatted: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	got, err := Read(ctx, b.Addr)
	if err != nil {
		return err
	}
	for name, t := range got.Topics {
		if t.Configs["retention.ms"] != "-1" {
			return fmt.Errorf("topic %s has configs %v, want retention off", name, t.Configs)
		}
	}
	return Same(want, got, Aspects{IDs: true})
}

// back lets the tested broker write, and Kafka read its folders.
func (j *journey) back(ctx context.Context) error {
	source := filepath.Join(j.Dir, "back-source")
	want, err := j.sourceWrites(ctx, source)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	target := filepath.Join(j.Dir, "back-target", "data")
	k, err := j.startKafka(ctx, "back-target", target, false)
	if err != nil {
		return err
	}
	if err := createAll(ctx, k.Addr, want); err != nil {
		return errors.Join(err, k.Stop())
	}
	if err := k.Stop(); err != nil {
		return err
	}
	if err := layFolders(filepath.Join(source, "data"), target); err != nil {
		return fmt.Errorf("lay the folders: %w", err)
	}
	if err := k.Restart(ctx); err != nil {
		return err
	}
	got, err := Read(ctx, k.Addr)
	if err != nil {
		return errors.Join(err, k.Stop())
	}
	records, _ := got.Count()
	if wrote, _ := want.Count(); records != wrote || records == 0 {
		return errors.Join(fmt.Errorf("Kafka reads %d records, want %d", records, wrote), k.Stop())
	}
	return errors.Join(Same(want, got, Aspects{}), k.Stop())
}

func (j *journey) sourceWrites(ctx context.Context, dir string) (s *State, err error) {
	o := peer.Options{Dir: dir, DataDir: filepath.Join(dir, "data")}
	b, err := j.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	w, err := newWriter(b.Addr)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.fill(ctx); err != nil {
		return nil, err
	}
	if err := b.Stop(); err != nil {
		return nil, err
	}
	if err := b.Restart(ctx); err != nil {
		return nil, err
	}
	if err := w.more(ctx); err != nil {
		return nil, err
	}
	return Read(ctx, b.Addr)
}

// createAll makes the same topics with the same partitions and configs.
func createAll(ctx context.Context, addr string, s *State) error {
	w, err := newWriter(addr)
	if err != nil {
		return err
	}
	defer w.close()
	for name, t := range s.Topics {
		var configs []string
		for k, v := range t.Configs {
			configs = append(configs, k+"="+v)
		}
		if err := w.create(ctx, name, int32(len(t.Partitions)), configs...); err != nil {
			return err
		}
	}
	return nil
}

// layFolders puts the partition folders of one directory in the place of another's, which keep their partition.metadata:
// with a foreign topic id Kafka would set them aside. Log start offsets stand in a file of the whole directory.
func layFolders(from, to string) error {
	entries, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	laid := 0
	for _, e := range entries {
		src := filepath.Join(from, e.Name())
		if !e.IsDir() || strings.HasPrefix(e.Name(), "__") {
			continue
		}
		dst := filepath.Join(to, e.Name())
		if _, err := os.Stat(src); strings.HasPrefix(e.Name(), "empty-") && errors.Is(err, fs.ErrNotExist) {
			if err := os.RemoveAll(dst); err != nil { // dmq has none where nothing was written: Kafka makes it anew
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		meta, err := os.ReadFile(filepath.Join(dst, "partition.metadata"))
		if err != nil {
			return err
		}
		if err := os.RemoveAll(dst); err != nil {
			return err
		}
		if err := os.CopyFS(dst, os.DirFS(src)); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dst, "partition.metadata"), meta, 0o644); err != nil {
			return err
		}
		laid++
	}
	if laid == 0 {
		return fmt.Errorf("no partition folders in %s", to)
	}
	for _, name := range []string{"log-start-offset-checkpoint"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
