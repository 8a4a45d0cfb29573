package kafkaimport_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/kafkaimport"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

var options = kafkaimport.Options{NodeID: 1, MetadataVersion: image.FeatureRange{Min: 7, Max: 33}}

// kafka is what Apache Kafka 4.4.0 left behind: see testdata/README.md.
func kafka(tb testing.TB) fstest.MapFS {
	tb.Helper()
	dir := os.DirFS("testdata/kafka-4.4.0")
	files := fstest.MapFS{}
	for _, name := range must(fs.Glob(dir, "*")) {
		files[name] = &fstest.MapFile{Data: must(fs.ReadFile(dir, name))}
	}
	return files
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// imageOf applies the records as a new cluster does.
func imageOf(t *testing.T, res *kafkaimport.Result) *image.Image {
	t.Helper()
	b := image.NewBuilder(image.Empty())
	c := must(metadata.DecodeCommand((&metadata.Command{Records: res.Records}).Encode()))
	if err := b.Apply(1, c); err != nil {
		t.Fatal(err)
	}
	img, _ := b.Build()
	return img
}

// TestRead_ApacheKafka compares what is read with what Kafka itself said before it was stopped.
func TestRead_ApacheKafka(t *testing.T) {
	res, err := kafkaimport.Read(kafka(t), options)
	if err != nil {
		t.Fatal(err)
	}
	img := imageOf(t, res)
	var said map[string]struct {
		ID         string
		Partitions map[int32]struct {
			Replicas, ISR       []protocol.NodeID
			Leader, LeaderEpoch int32
		}
		Configs map[string]string
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/kafka-4.4.0.json")), &said); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(said)), slices.Sorted(img.Topics.Keys())); diff != "" {
		t.Fatalf("topics: %s", diff)
	}
	for name, want := range said {
		got := img.Topics.Get(name)
		if id := base64.StdEncoding.EncodeToString(got.ID[:]); id != want.ID {
			t.Errorf("%s: id %s, want %s", name, id, want.ID)
		}
		if diff := cmp.Diff(want.Configs, img.Configs[image.Resource{Type: image.ResourceTopic, Name: name}], cmp.Transformer("", func(m map[string]string) string { return fmt.Sprint(m) })); diff != "" {
			t.Errorf("%s: configs %s", name, diff)
		}
		if len(got.Partitions) != len(want.Partitions) {
			t.Fatalf("%s: %d partitions", name, len(got.Partitions))
		}
		for i, w := range want.Partitions {
			p := got.Partitions[i]
			// Kafka was asked while it ran; its controlled shutdown took the leader away, with a new epoch.
			if diff := cmp.Diff(w.Replicas, p.Replicas) + cmp.Diff(w.ISR, p.ISR); diff != "" || p.Leader != -1 || p.LeaderEpoch != w.LeaderEpoch+1 {
				t.Errorf("%s-%d: %+v, Kafka said %+v", name, i, p, w)
			}
			if len(p.Directories) != 1 || p.Directories[0].IsZero() {
				t.Errorf("%s-%d: directories %v", name, i, p.Directories)
			}
		}
	}
	if img.NextProducerID != 1000 && img.NextProducerID != 2000 || img.Features["metadata.version"] != 33 {
		t.Errorf("next producer id %d, features %v", img.NextProducerID, img.Features)
	}
	if got := img.Configs[image.Resource{Type: image.ResourceBroker}]["log.retention.ms"]; got != "777000" {
		t.Errorf("cluster-wide retention %q", got)
	}
	if got := img.Configs[image.Resource{Type: image.ResourceBroker, Name: "1"}]["log.cleaner.threads"]; got != "2" {
		t.Errorf("the broker's cleaner threads %q", got)
	}
	if res.Topics != len(said) || res.Checkpoint == "" || res.Torn != "" || len(res.Damaged) != 0 || len(res.Foreign) != 0 || res.Reduced != 0 || res.Skipped["client quota"] == 0 {
		t.Errorf("result %+v", *res)
	}
	if res.Features["transaction.version"] == 0 || len(img.Features) != 1 {
		t.Errorf("Kafka's features %v, ours %v", res.Features, img.Features)
	}
}

// TestRead_CheckpointsAndLogAgree reads the same metadata from each checkpoint with the log after it, and from the log alone.
func TestRead_CheckpointsAndLogAgree(t *testing.T) {
	files := kafka(t)
	want := must(kafkaimport.Read(files, options))
	seen := map[string]bool{want.Checkpoint: true}
	for len(files) > 1 {
		delete(files, slices.Max(checkpoints(files)))
		got, err := kafkaimport.Read(files, options)
		if err != nil {
			t.Fatal(err)
		}
		seen[got.Checkpoint] = true
		if diff := cmp.Diff(want.Records, got.Records); diff != "" || got.NextOffset != want.NextOffset {
			t.Errorf("from checkpoint %q: ends at %d, want %d: %s", got.Checkpoint, got.NextOffset, want.NextOffset, diff)
		}
	}
	if len(seen) < 4 || !seen[""] {
		t.Errorf("read from %v", seen)
	}
}

func checkpoints(files fstest.MapFS) []string {
	return slices.DeleteFunc(slices.Collect(maps.Keys(files)), func(n string) bool { return !strings.HasSuffix(n, ".checkpoint") })
}

func TestRead_DamagedCheckpointFallsBack(t *testing.T) {
	files := kafka(t)
	want := must(kafkaimport.Read(files, options))
	newest := slices.Max(checkpoints(files))
	good := files[newest].Data
	for name, data := range map[string][]byte{
		"a bit":     flip(good, len(good)/2),
		"cut":       good[:len(good)-10],
		"no footer": good[:lastBatch(good)],
		"empty":     {},
	} {
		files[newest] = &fstest.MapFile{Data: data}
		got, err := kafkaimport.Read(files, options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want.Records, got.Records); diff != "" || len(got.Damaged) != 1 || got.Damaged[0] != newest {
			t.Errorf("%s: damaged %v: %s", name, got.Damaged, diff)
		}
	}
	for _, name := range checkpoints(files) {
		files[name] = &fstest.MapFile{Data: []byte("x")}
	}
	log := "00000000000000000000.log"
	files["00000000000000000100.log"] = files[log]
	delete(files, log)
	if _, err := kafkaimport.Read(files, options); err == nil {
		t.Error("metadata without a beginning was read")
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

func lastBatch(b []byte) (at int) {
	for rest := b; len(rest) > 0; {
		at = len(b) - len(rest)
		_, rest, _ = records.Split(rest)
	}
	return at
}

func TestRead_LogEnds(t *testing.T) {
	const name = "00000000000000000000.log"
	files := kafka(t)
	log := files[name].Data
	for _, c := range checkpoints(files) {
		delete(files, c)
	}
	end := lastBatch(log)
	for what, tc := range map[string]struct {
		data []byte
		torn bool
		ok   bool
	}{
		"whole":                 {log, false, true},
		"torn in the last":      {log[:len(log)-3], true, true},
		"last one bad":          {flip(log, len(log)-3), true, true},
		"header only":           {log[:end+20], true, true},
		"bad in the middle":     {flip(log, len(log)/2), false, false},
		"a batch twice":         {append(bytes.Clone(log), log[end:]...), false, false},
		"a batch missing":       {append(bytes.Clone(log[:len(firstBatch(log))]), log[end:]...), false, false},
		"begins with a bad one": {flip(log, 30), false, false},
	} {
		files[name] = &fstest.MapFile{Data: tc.data}
		res, err := kafkaimport.Read(files, options)
		if (err == nil) != tc.ok || err == nil && (res.Torn != "") != tc.torn {
			t.Errorf("%s: %v, %+v", what, err, res)
		}
	}
}

func firstBatch(b []byte) []byte {
	batch, _, _ := records.Split(b)
	return batch
}

// script writes a log of metadata records, as Kafka frames them.
type script struct {
	records [][]byte
}

func (s *script) add(key, version byte, body ...[]byte) *script {
	s.records = append(s.records, append([]byte{1, key, version}, bytes.Join(body, nil)...))
	return s
}

func (s *script) files(tb testing.TB, from int64) fstest.MapFS {
	tb.Helper()
	var log []byte
	for i, r := range s.records {
		b := records.NewBuilder(records.BuilderOptions{})
		b.Append(0, nil, r)
		batch, err := b.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		batch.SetBaseOffset(from + int64(i))
		log = append(log, batch...)
	}
	return fstest.MapFS{fmt.Sprintf("%020d.log", from): {Data: log}}
}

func str(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s)+1)), s...) }
func id(n byte) []byte    { return append(make([]byte, 15), n) }
func i32(v int32) []byte  { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

func list(ids ...int32) []byte {
	b := binary.AppendUvarint(nil, uint64(len(ids)+1))
	for _, v := range ids {
		b = append(b, i32(v)...)
	}
	return b
}

func tag(n byte, value ...[]byte) []byte {
	v := bytes.Join(value, nil)
	return append(binary.AppendUvarint([]byte{n}, uint64(len(v))), v...)
}

var none = []byte{0}

func (s *script) topic(name string, n byte) *script { return s.add(2, 0, str(name), id(n), none) }

func (s *script) partition(n byte, index int32, replicas, isr []byte, leader int32) *script {
	return s.add(3, 0, i32(index), id(n), replicas, isr, list(), list(), i32(leader), i32(5), i32(6), none)
}

func read(t *testing.T, s *script) (*kafkaimport.Result, error) {
	t.Helper()
	return kafkaimport.Read(s.files(t, 0), options)
}

func TestRead_OtherNodesDoNotComeAlong(t *testing.T) {
	s := new(script).topic("t", 9).
		partition(9, 0, list(2, 1), list(2, 1), 2).
		partition(9, 1, list(2, 3), list(2, 3), 2).
		partition(9, 2, list(1), list(1), 1).
		partition(9, 3, list(1, 2), list(1), 1)
	res, err := read(t, s)
	if err != nil {
		t.Fatal(err)
	}
	node := []protocol.NodeID{1}
	others := []protocol.NodeID{2, 3}
	want := []image.Partition{
		{Replicas: node, ISR: node, Leader: -1, LeaderEpoch: 5, PartitionEpoch: 7},
		{Replicas: others, ISR: others, Leader: -1, LeaderEpoch: 5, PartitionEpoch: 6},
		{Replicas: node, ISR: node, Leader: 1, LeaderEpoch: 5, PartitionEpoch: 6},
		{Replicas: node, ISR: node, Leader: 1, LeaderEpoch: 5, PartitionEpoch: 7},
	}
	if diff := cmp.Diff(want, imageOf(t, res).Topics.Get("t").Partitions); diff != "" {
		t.Error(diff)
	}
	if len(res.Foreign) != 1 || res.Foreign[0].Partition != 1 || res.Reduced != 2 {
		t.Errorf("foreign %v, reduced %d", res.Foreign, res.Reduced)
	}
}

func TestRead_Changes(t *testing.T) {
	s := new(script).topic("t", 9).partition(9, 0, list(1, 2), list(1, 2), 1).
		add(5, 2, i32(0), id(9), []byte{3}, tag(0, list(1)), tag(1, i32(-1)), tag(5, []byte{1})).
		add(5, 2, i32(0), id(9), []byte{2}, tag(1, i32(-2)), tag(2, list(1))). // -2: the leader stays
		add(5, 2, i32(0), id(9), []byte{1}, tag(1, i32(1)))
	res, err := read(t, s)
	if err != nil {
		t.Fatal(err)
	}
	node := []protocol.NodeID{1}
	want := []image.Partition{{Replicas: node, ISR: node, Leader: 1, LeaderEpoch: 7, PartitionEpoch: 9, LeaderRecoveryState: 1}}
	if diff := cmp.Diff(want, imageOf(t, res).Topics.Get("t").Partitions); diff != "" {
		t.Error(diff)
	}
}

func TestRead_Transactions(t *testing.T) {
	begin := func(s *script) *script { return s.add(23, 0, none) }
	end := func(s *script) *script { return s.add(24, 0, none) }
	abort := func(s *script) *script { return s.add(25, 0, none) }
	one := func(s *script, name string, n byte) *script {
		return s.topic(name, n).partition(n, 0, list(1), list(1), 1)
	}
	s := one(new(script), "before", 101)
	begin(s)
	one(s, "whole", 102)
	end(s)
	begin(s)
	one(s, "aborted", 103)
	abort(s)
	begin(s)
	one(s, "unfinished", 104)
	res, err := read(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(imageOf(t, res).Topics.Keys()); !slices.Equal(got, []string{"before", "whole"}) {
		t.Errorf("topics %v", got)
	}
	if _, err := read(t, end(new(script))); err == nil {
		t.Error("the end of no transaction was read")
	}
	if _, err := read(t, begin(begin(new(script)))); err == nil {
		t.Error("a transaction in a transaction was read")
	}
}

func TestRead_Refuses(t *testing.T) {
	good := func() *script { return new(script).topic("t", 9).partition(9, 0, list(1), list(1), 1) }
	for name, s := range map[string]*script{
		"a newer record":        good().add(3, 3),
		"an unknown record":     good().add(77, 0),
		"a topic twice":         good().topic("t", 10),
		"an id twice":           good().topic("u", 9),
		"a bad name":            good().topic("a/b", 10),
		"a partition twice":     good().partition(9, 0, list(1), list(1), 1),
		"a partition of none":   good().partition(8, 0, list(1), list(1), 1),
		"a hole":                good().partition(9, 2, list(1), list(1), 1),
		"a change of none":      good().add(5, 0, i32(4), id(9), none),
		"the removal of none":   good().add(9, 0, id(8), none),
		"a list that is no end": good().add(5, 0, i32(0), id(9), []byte{1, 0, 5, 255, 255, 255, 255, 15}),
		"a byte too many":       good().add(9, 0, id(9), none, none),
		"a cut record":          good().add(2, 0, str("u")),
	} {
		if res, err := read(t, s); err == nil {
			t.Errorf("%s: read as %+v", name, res)
		}
	}
	var unsupported *kafkaimport.UnsupportedError
	if _, err := read(t, good().add(3, 3)); !errors.As(err, &unsupported) || unsupported.Version != 3 {
		t.Errorf("a newer record: %v", err)
	}
	if _, err := kafkaimport.Read(fstest.MapFS{"leader-epoch-checkpoint": {}}, options); !errors.Is(err, kafkaimport.ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := kafkaimport.Read(os.DirFS("testdata/nothing"), options); !errors.Is(err, kafkaimport.ErrNone) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := kafkaimport.Read(good().files(t, 7), options); err == nil {
		t.Error("a log without its beginning was read")
	}
}

func TestRead_FitsTheMetadataVersion(t *testing.T) {
	for level, want := range map[byte]int16{3: 7, 20: 20, 40: 33} {
		s := new(script).add(12, 0, str("metadata.version"), []byte{0, level}, none).add(12, 0, str("gone"), []byte{0, 1}, none).add(12, 0, str("gone"), []byte{0, 0}, none)
		res, err := read(t, s)
		if err != nil {
			t.Fatal(err)
		}
		if got := imageOf(t, res).Features["metadata.version"]; got != want || len(res.Features) != 1 {
			t.Errorf("level %d became %d, features %v", level, got, res.Features)
		}
	}
}

// FuzzKafkaLog reads any bytes as a log: refused, or records that make a cluster.
func FuzzKafkaLog(f *testing.F) {
	f.Add(kafka(f)["00000000000000000000.log"].Data[:2000])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		res, err := kafkaimport.Read(fstest.MapFS{"00000000000000000000.log": {Data: b}}, options)
		if err == nil {
			imageOf(t, res)
		}
	})
}

// FuzzKafkaRecord puts any bytes into a record after a topic.
func FuzzKafkaRecord(f *testing.F) {
	for _, r := range new(script).topic("u", 10).partition(9, 1, list(1), list(1), 1).
		add(5, 2, i32(0), id(9), []byte{3}, tag(0, list(1)), tag(1, i32(-1)), tag(5, []byte{1})).
		add(4, 0, []byte{2}, str("t"), str("k"), str("v"), none).add(15, 0, i32(1), make([]byte, 16), none).records {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := new(script).topic("t", 9).partition(9, 0, list(1), list(1), 1)
		s.records = append(s.records, b)
		res, err := kafkaimport.Read(s.files(t, 0), options)
		if err == nil {
			imageOf(t, res)
		}
	})
}
