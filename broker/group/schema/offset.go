package schema

import "github.com/distributedmq/dmq/protocol"

// OffsetCommitValue is a committed offset.
type OffsetCommitValue struct {
	Offset                int64
	LeaderEpoch           int32 // of the last record consumed; -1: not known
	Metadata              string
	CommitTimestampMillis int64
	ExpireTimestampMillis int64            // -1: by the broker's retention
	TopicID               protocol.TopicID // zero: committed by name, or before Kafka 4.1
}

// Append appends version 4, or 1 where the commit says when it expires: Kafka has no later version for that.
func (v *OffsetCommitValue) Append(dst []byte) []byte {
	if v.ExpireTimestampMillis >= 0 {
		return v.append(dst, 1)
	}
	return v.append(dst, 4)
}

func (v *OffsetCommitValue) append(dst []byte, version int16) []byte {
	e := encoder{buf: dst, flexible: version >= 4}
	e.int16(version)
	e.int64(v.Offset)
	if version >= 3 {
		e.int32(v.LeaderEpoch)
	}
	e.string(v.Metadata)
	e.int64(v.CommitTimestampMillis)
	if version == 1 {
		e.int64(v.ExpireTimestampMillis)
	}
	switch {
	case v.TopicID.IsZero() || version < 4:
		e.noTags()
	default: // not oneTag: commits are many
		e.buf = append(e.buf, 1, 0, byte(len(v.TopicID)))
		e.id(v.TopicID)
	}
	return e.buf
}

// DecodeOffsetCommitValue reads versions 0 to 4.
func DecodeOffsetCommitValue(b []byte) (OffsetCommitValue, error) {
	v := OffsetCommitValue{LeaderEpoch: -1, ExpireTimestampMillis: -1}
	d, version, err := value("OffsetCommit", b, 4, 4)
	if err != nil {
		return v, err
	}
	v.Offset = d.int64()
	if version >= 3 {
		v.LeaderEpoch = d.int32()
	}
	v.Metadata = d.string()
	v.CommitTimestampMillis = d.int64()
	if version == 1 {
		v.ExpireTimestampMillis = d.int64()
	}
	if f, ok := d.tagged(); ok {
		v.TopicID = f.id()
		d.ends(&f)
	}
	return v, d.err("OffsetCommit value")
}
