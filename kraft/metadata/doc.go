// Package metadata defines the records of the metadata log and their bytes.
//
// It owns the record types and their codec, nothing else; values are plain data and safe to share once they are no longer
// written to.
//
// A command is what one proposal puts into the raft log: a set of records that is applied whole or not at all.
//
//	command  = format:1 flags:1 [revision:varint if flags&1] count:uvarint record*
//	record   = type:uvarint version:uvarint length:uvarint body
//	body     = the fields of that type and version, in the order of its encode method
//	string   = length:uvarint bytes          nullable = 0 | 1 value
//	id       = 16 bytes                      int = zigzag varint
//	list     = count:uvarint element*        bool = 0 | 1
//
// Rules of change: a released version's fields never change; a new field means a new version, and old versions stay readable
// for ever. A record of a type or version that this program does not know is refused with [*UnsupportedError]: it was
// written by a newer program, and skipping it would let this node's metadata diverge. Bytes that are no encoding of
// anything are [ErrMalformed].
//
// An empty command changes nothing; the quorum uses it to carry a commit index to followers.
package metadata
