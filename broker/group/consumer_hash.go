package group

import (
	"encoding/binary"
	"slices"
	"unicode/utf16"

	"github.com/zeebo/xxh3"

	"github.com/distributedmq/dmq/kraft/image"
)

// The metadata hash is part of a consumer group's record, and a different one is a reason to rebalance. So it is Kafka's to the
// bit: XXH3 over fields as hash4j writes them.
//
//	topic = byte 0 | int64 id, high and low | string name | int32 partitions | for each: int32 partition | racks, sorted
//	rack  = int32 length in UTF-16 units | string
//	group = int64 of each topic, sorted by name; 0 without topics
//
// Numbers are little endian. A string is its UTF-16 units and then, as int32, how many those are.

// hashInput is what a hash is computed of.
type hashInput []byte

func (h hashInput) int32(v int) hashInput { return binary.LittleEndian.AppendUint32(h, uint32(v)) }

func (h hashInput) int64(v uint64) hashInput { return binary.LittleEndian.AppendUint64(h, v) }

func (h hashInput) units(u []uint16) hashInput {
	for _, unit := range u {
		h = binary.LittleEndian.AppendUint16(h, unit)
	}
	return h.int32(len(u))
}

func (h hashInput) string(s string) hashInput { return h.units(utf16.Encode([]rune(s))) }

// topicHash is the hash of a topic as the image has it.
func topicHash(img *image.Image, t *image.Topic) uint64 {
	h := hashInput{0}
	h = h.int64(binary.BigEndian.Uint64(t.ID[:8])).int64(binary.BigEndian.Uint64(t.ID[8:]))
	h = h.string(t.Name).int32(len(t.Partitions))
	var racks []string
	for p := range t.Partitions {
		h = h.int32(p)
		racks = racks[:0]
		for _, replica := range t.Partitions[p].Replicas {
			if b := img.Brokers[replica]; b != nil && b.Rack != nil {
				racks = append(racks, *b.Rack)
			}
		}
		slices.Sort(racks)
		for _, rack := range racks {
			units := utf16.Encode([]rune(rack))
			h = h.int32(len(units)).units(units)
		}
	}
	return xxh3.Hash(h)
}

// groupHash is the hash of the topics whose hashes are given in the order of their names.
func groupHash(topics []uint64) int64 {
	if len(topics) == 0 {
		return 0
	}
	var h hashInput
	for _, t := range topics {
		h = h.int64(t)
	}
	return int64(xxh3.Hash(h))
}
