//go:build !linux

package vfs

import "os"

// writevSerial writes the buffers one by one: the portable form of WritevAt.
func writevSerial(f *os.File, bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
