// Package schema is the format of the records in __consumer_offsets, byte for byte that of Apache Kafka 4.4.
//
// It owns no state; everything in it is safe from any goroutine. Decoding copies what it keeps, except where it says
// otherwise, and needs memory in proportion to the record only, whatever its bytes claim.
//
//	key   = int16 type    fields…   (never flexible)
//	value = int16 version fields…   (compact and with tagged fields where the version is flexible)
//	no value: a tombstone, the end of what the key names
//
// Append writes the version that Kafka 4.4 writes; Decode reads every version that it reads. Like Kafka, Decode ignores
// bytes behind the last field and tagged fields that it does not know. Strings have at most 32767 bytes: the guard of
// requests sees to that, and Append panics on a longer one.
//
// Records of share and streams groups (types 10 to 15 and 17 to 23) are Known but not served: whoever replays passes over
// them, and leaves them in the log.
package schema
