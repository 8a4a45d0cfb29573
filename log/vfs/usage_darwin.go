package vfs

import "golang.org/x/sys/unix"

func usage(name string) (Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return Usage{}, usageError(name, err)
	}
	size := uint64(st.Bsize)
	return Usage{Total: st.Blocks * size, Free: st.Bavail * size}, nil
}
