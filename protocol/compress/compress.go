package compress

// Decompress appends the decompressed src to dst. Never more than limit bytes are appended: ErrTooLarge.
func Decompress(dst []byte, c Codec, src []byte, limit int) ([]byte, error) {
	panic("not yet")
}

// Compress appends the compressed src to dst. The level is one of the codec's (see Levels) or DefaultLevel.
func Compress(dst []byte, c Codec, level int, src []byte) ([]byte, error) {
	panic("not yet")
}
