package diff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// baseTime is the timestamp of the first record of every batch the cases build: yesterday, so that retention, which Kafka
// starts after 30 s, leaves the records alone. Both brokers get the same.
var baseTime = time.Now().Add(-24 * time.Hour).Truncate(time.Hour).UnixMilli()

// rec is one record of a batch that a case builds.
type rec struct {
	key, value []byte
	headers    []kmsg.Header
	timestamp  int64 // 0 is baseTime plus its index
	delta      int32 // offset delta; 0 is its index
}

func records(values ...string) []rec {
	out := make([]rec, len(values))
	for i, v := range values {
		out[i] = rec{key: []byte(fmt.Sprintf("k%d", i)), value: []byte(v)}
	}
	return out
}

// spec says how a batch is built; the zero value with records is a good one.
type spec struct {
	records   []rec
	codec     int16 // 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
	producer  int64 // -1 when zero
	epoch     int16
	sequence  int32
	hasSeq    bool // producer, epoch and sequence are meant as they stand
	attribute int16
	baseTime  int64
	// edit changes the finished header fields before the CRC is computed.
	edit func(b *kmsg.RecordBatch)
	// bend changes the finished bytes, CRC included.
	bend func(b []byte) []byte
}

// batch builds the bytes of one record batch.
func (sp spec) batch() []byte {
	base := sp.baseTime
	if base == 0 {
		base = baseTime
	}
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: sp.codec | sp.attribute,
		FirstTimestamp: base, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(len(sp.records)), LastOffsetDelta: int32(len(sp.records)) - 1,
	}
	if sp.hasSeq {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = sp.producer, sp.epoch, sp.sequence
	}
	var payload []byte
	maxTime := int64(-1)
	for i, r := range sp.records {
		ts := r.timestamp
		if ts == 0 {
			ts = base + int64(i)
		}
		if i == 0 {
			b.FirstTimestamp = ts
		}
		delta := r.delta
		if delta == 0 {
			delta = int32(i)
		}
		maxTime = max(maxTime, ts)
		payload = appendRecord(payload, r, ts-b.FirstTimestamp, delta)
	}
	b.MaxTimestamp = maxTime
	b.Records = squeeze(sp.codec, payload)
	if sp.edit != nil {
		sp.edit(&b)
	}
	out := seal(b)
	if sp.bend != nil {
		out = sp.bend(out)
	}
	return out
}

func appendRecord(dst []byte, r rec, tsDelta int64, offsetDelta int32) []byte {
	k := kmsg.Record{TimestampDelta64: tsDelta, OffsetDelta: offsetDelta, Key: r.key, Value: r.value, Headers: r.headers}
	k.Length = 0
	body := k.AppendTo(nil)[1:] // a length of 0 is one byte
	dst = binary.AppendVarint(dst, int64(len(body)))
	return append(dst, body...)
}

// seal fills length and CRC in.
func seal(b kmsg.RecordBatch) []byte {
	b.Length = int32(49 + len(b.Records))
	out := b.AppendTo(nil)
	return recrc(out)
}

// recrc computes the CRC of a batch anew.
func recrc(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

func squeeze(codec int16, payload []byte) []byte {
	codecs := map[int16]kgo.CompressionCodec{1: kgo.GzipCompression(), 2: kgo.SnappyCompression(), 3: kgo.Lz4Compression(), 4: kgo.ZstdCompression()}
	c, ok := codecs[codec]
	if !ok {
		return payload
	}
	comp, err := kgo.DefaultCompressor(c)
	if err != nil {
		panic(broken{err})
	}
	buf := new(bytes.Buffer)
	out, kind := comp.Compress(buf, payload)
	if int16(kind) != codec {
		panic(broken{fmt.Errorf("compressed with codec %d instead of %d", kind, codec)})
	}
	return append([]byte(nil), out...)
}

// batches decodes the record batches of a fetch response for the transcript. Stored bytes are compared as they are where
// they must be the bytes that were sent; a batch that the broker itself compressed or stamped is compared by content.
func (s *Session) batches(b []byte) any {
	var out []any
	for len(b) >= 61 {
		var rb kmsg.RecordBatch
		n := 12 + int(int32(binary.BigEndian.Uint32(b[8:])))
		if n < 61 || n > len(b) {
			break
		}
		if err := rb.ReadFrom(b[:n]); err != nil {
			out = append(out, "undecodable batch: "+err.Error())
			break
		}
		out = append(out, s.batch(b[:n], rb))
		b = b[n:]
	}
	if len(b) > 0 {
		out = append(out, "a cut batch")
	}
	if out == nil {
		return "no records"
	}
	return out
}

func (s *Session) batch(raw []byte, rb kmsg.RecordBatch) any {
	m := map[string]any{
		"FirstOffset": rb.FirstOffset, "PartitionLeaderEpoch": int64(rb.PartitionLeaderEpoch), "Magic": int64(rb.Magic), "Attributes": int64(rb.Attributes),
		"LastOffsetDelta": int64(rb.LastOffsetDelta), "FirstTimestamp": rb.FirstTimestamp, "MaxTimestamp": rb.MaxTimestamp, "NumRecords": int64(rb.NumRecords),
		"ProducerID": s.number("ProducerID", rb.ProducerID), "ProducerEpoch": int64(rb.ProducerEpoch), "FirstSequence": int64(rb.FirstSequence),
		"crc": uint32(rb.CRC) == crc32.Checksum(raw[21:], castagnoli),
	}
	if rb.Attributes&8 != 0 { // LogAppendTime
		m["MaxTimestamp"] = "<time>"
		m["FirstTimestamp"] = rb.FirstTimestamp
	}
	codec := rb.Attributes & 7
	payload, err := kgo.DefaultDecompressor().Decompress(rb.Records, kgo.CompressionCodecType(codec))
	if err != nil {
		m["Records"] = "undecodable: " + err.Error()
		return m
	}
	m["Records"] = fmt.Sprintf("%d bytes, crc %08x", len(payload), crc32.Checksum(payload, castagnoli))
	return m
}

// produceRequest asks for one batch to be appended.
func produceRequest(version int16, topic string, partition int32, acks int16, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}
