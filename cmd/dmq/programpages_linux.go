package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseProgramPages has the kernel take those pages of the program's file out of this process that only its start has used:
// half of the code, and of the tables by which the runtime walks stacks. Without it they count as the node's memory for as long as
// it runs, since the kernel takes them back only when it is short. What is used again is mapped again, from the page cache.
//
// It does nothing where the mappings cannot be read. Call it once, when the node serves.
func releaseProgramPages(read func(string) ([]byte, error)) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := read("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unchangedMappings(maps, program) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED) // advice: the pages stay if it is not taken
	}
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// unchangedMappings are the mappings of a file, as proc_pid_smaps(5) lists them, that hold exactly what the file does: they cannot
// be written to, and nobody has, be it the linker that relocates or a debugger with its breakpoints. Their pages may be dropped.
func unchangedMappings(smaps []byte, file string) []mapping {
	var out []mapping
	var m mapping
	candidate := false
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 {
			continue
		}
		if start, end, found := strings.Cut(fields[0], "-"); found { // start-end perms offset dev inode path
			from, errFrom := strconv.ParseUint(start, 16, 64)
			to, errTo := strconv.ParseUint(end, 16, 64)
			candidate = errFrom == nil && errTo == nil && len(fields) >= 6 && !strings.Contains(fields[1], "w") && strings.HasSuffix(s.Text(), " "+file)
			m = mapping{start: uintptr(from), end: uintptr(to)}
			continue
		}
		if candidate && fields[0] == "Anonymous:" && len(fields) > 1 && fields[1] == "0" {
			out = append(out, m)
		}
	}
	return out
}
