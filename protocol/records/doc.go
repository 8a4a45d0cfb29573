// Package records is Kafka's record batch, format version 2, as a view over bytes: read the header, check it, stamp it,
// walk its records, build one.
//
// It owns no state. A Batch is the caller's memory; the Set and Stamp methods write to it in place.
//
//	 0  baseOffset            int64   first offset; 0 from a producer, assigned by the leader
//	 8  batchLength           int32   bytes after this field
//	12  partitionLeaderEpoch  int32   assigned by the leader
//	16  magic                 int8    2
//	17  crc                   uint32  CRC-32C of everything after it
//	21  attributes            int16   bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	23  lastOffsetDelta       int32
//	27  baseTimestamp         int64   (the delete horizon when bit 6 is set)
//	35  maxTimestamp          int64   (of every record when the timestamp type is log append time)
//	43  producerId            int64   -1 none
//	51  producerEpoch         int16
//	53  baseSequence          int32
//	57  recordCount           int32
//	61  records, compressed as one block when the codec says so
//
// Each record: varint length, int8 attributes, varlong timestampDelta, varint offsetDelta, varint key length and key (-1 null),
// varint value length and value (-1 null), varint header count, headers (varint length and key, varint length and value, -1 null).
//
// Base offset and leader epoch lie before the CRC, so the leader stamps them without touching the rest.
package records
