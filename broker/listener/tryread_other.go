//go:build !unix

package listener

// tryReader exists on unix only: elsewhere responses are sent before each read.
type tryReader struct{}

func newTryReader(any) *tryReader { return nil }

func (*tryReader) read([]byte) (int, error) { return 0, errWouldBlock }
