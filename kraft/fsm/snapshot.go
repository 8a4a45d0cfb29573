package fsm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
)

const (
	snapshotMagic  = "dmqimage"
	snapshotFormat = 1
)

// EncodeSnapshot writes the image.
func EncodeSnapshot(w io.Writer, img *image.Image) error {
	crc := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	buffered := bufio.NewWriterSize(io.MultiWriter(w, crc), 64<<10)
	h := img.Header()
	buf := append([]byte(snapshotMagic), snapshotFormat)
	for _, v := range []int64{h.Version, h.Revision, h.FeaturesEpoch} {
		buf = binary.AppendVarint(buf, v)
	}
	if _, err := buffered.Write(buf); err != nil {
		return err
	}
	for r := range img.Records() {
		buf = metadata.AppendRecord(buf[:0], r)
		if _, err := buffered.Write(buf); err != nil {
			return err
		}
	}
	if err := buffered.WriteByte(0); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	_, err := w.Write(binary.BigEndian.AppendUint32(buf[:0], crc.Sum32()))
	return err
}

// DecodeSnapshot reads what EncodeSnapshot wrote.
func DecodeSnapshot(data []byte) (*image.Image, error) {
	fail := func(reason string) (*image.Image, error) {
		return nil, fmt.Errorf("read metadata snapshot: %w: %s", metadata.ErrMalformed, reason)
	}
	if len(data) < len(snapshotMagic)+1+4 || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return fail("no snapshot")
	}
	if format := data[len(snapshotMagic)]; format != snapshotFormat {
		return nil, &metadata.UnsupportedError{What: "snapshot format", Version: uint64(format), Supports: snapshotFormat}
	}
	body := data[:len(data)-4]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(data[len(body):]) {
		return fail("checksum differs")
	}
	body = body[len(snapshotMagic)+1:]
	var header [3]int64
	for i := range header {
		v, n := binary.Varint(body)
		if n <= 0 {
			return fail("bad header")
		}
		header[i], body = v, body[n:]
	}
	records := func(yield func(metadata.Record, error) bool) {
		for {
			if len(body) == 0 {
				yield(nil, fmt.Errorf("%w: no end mark", metadata.ErrMalformed))
				return
			}
			if body[0] == 0 {
				if len(body) > 1 {
					yield(nil, fmt.Errorf("%w: %d bytes after the end", metadata.ErrMalformed, len(body)-1))
				}
				return
			}
			r, rest, err := metadata.ReadRecord(body)
			if body = rest; !yield(r, err) || err != nil {
				return
			}
		}
	}
	img, err := image.FromRecords(image.Header{Version: header[0], Revision: header[1], FeaturesEpoch: header[2]}, records)
	if err != nil {
		return nil, fmt.Errorf("read metadata snapshot: %w", err)
	}
	return img, nil
}
