// Package compress turns bytes into compressed bytes and back with the four codecs of Kafka's record batches.
//
// It owns pools of encoders, decoders and buffers, and nothing else; every function may be called from any goroutine.
// What it writes, Kafka's Java client reads, and the other way round:
//
//	gzip    RFC 1952, one or more members
//	snappy  the xerial framing of snappy-java (16-byte header, then int32 length and one snappy block, repeated), as Java and
//	        librdkafka write it; one bare snappy block, as other clients write it, is read too
//	lz4     the LZ4 frame format with independent 64 KiB blocks
//	zstd    RFC 8878 frames
//
// Invariants: no input makes a decompressor return more than the limit it was given (ErrTooLarge), nor allocate in proportion
// to a size the input merely claims: buffers grow with bytes produced.
// Errors: ErrTooLarge, ErrCorrupt (wrapped with the cause) and ErrUnknownCodec.
package compress
