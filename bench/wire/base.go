//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// base measures what a broker cannot do without, in the same minute and on the same machine as the broker: receiving from
// a socket, a CRC, a write to the page cache for each batch, a read of it, and sending. A figure of a broker means
// something only beside these: on a shared machine they move by a factor of three.
func base(ctx context.Context, o *options, out io.Writer) error {
	const total = 1 << 29
	rx, tx, err := loopback(ctx, o.batch*o.batches, total)
	if err != nil {
		return err
	}
	_, chunks, err := loopback(ctx, 256<<10, total)
	if err != nil {
		return err
	}
	buf, err := batch(o.batch, o.record) // its size decides how it lies in pages
	if err != nil {
		return err
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	crc, err := onThread(total, func() error {
		for n := 0; n < total; n += len(buf) {
			crc32.Checksum(buf, table)
		}
		return nil
	})
	if err != nil {
		return err
	}
	write, read, err := pageCache(o, buf, total)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "base: CPU ms/GB: receive %.0f, CRC %.0f, pwrite of %d bytes %.0f: produce %.0f; pread %.0f, send 256 KiB %.0f: fetch %.0f; send %.0f\n",
		rx, crc, len(buf), write, rx+crc+write, read, chunks, read+chunks, tx)
	return nil
}

// onThread runs f on a thread of its own and returns its CPU time in milliseconds per GB of n bytes.
func onThread(n int, f func() error) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadCPU()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := threadCPU()
	return (after - before).Seconds() * 1000 / (float64(n) / 1e9), err
}

func threadCPU() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// loopback sends total bytes in pieces of n over a connection.
func loopback(ctx context.Context, n, total int) (rx, tx float64, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			sent <- err
			return
		}
		defer c.Close()
		buf := make([]byte, n)
		tx, err = onThread(total, func() error {
			for done := 0; done < total; done += n {
				if _, err := c.Write(buf); err != nil {
					return err
				}
			}
			return nil
		})
		sent <- err
	}()
	c, err := l.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	buf := make([]byte, n)
	rx, err = onThread(total, func() error {
		for {
			if _, err := io.ReadFull(c, buf); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
	return rx, tx, errors.Join(err, <-sent)
}

// pageCache writes total bytes in batches to the files of the partitions, and reads them in pieces of 256 KiB.
func pageCache(o *options, batch []byte, total int) (write, read float64, err error) {
	dir, err := os.MkdirTemp(o.dir, "wire-base-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	files, ends := make([]*os.File, o.partitions), make([]int64, o.partitions)
	for i := range files {
		if files[i], err = os.Create(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			return 0, 0, err
		}
		defer files[i].Close()
	}
	write, err = onThread(total, func() error {
		for n, i := 0, 0; n < total; n, i = n+len(batch), (i+1)%len(files) {
			if _, err := files[i].WriteAt(batch, ends[i]); err != nil {
				return err
			}
			ends[i] += int64(len(batch))
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 256<<10)
	read, err = onThread(total, func() error {
		for i, f := range files {
			for off := int64(0); off < ends[i]; off += int64(len(buf)) {
				if _, err := f.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
			}
		}
		return nil
	})
	return write, read, err
}
