package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnchangedMappings(t *testing.T) {
	const smaps = `00400000-0120a000 r-xp 00000000 fe:00 9986460                            /opt/a b/dmq
Size:              14376 kB
Rss:               11048 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
0120a000-020e8000 r--p 00e0a000 fe:00 9986460                            /opt/a b/dmq
Rss:               11768 kB
Anonymous:             0 kB
020e8000-02100000 r--p 01ce8000 fe:00 9986460                            /opt/a b/dmq
Rss:                  96 kB
Anonymous:            96 kB
02100000-02200000 rw-p 01d00000 fe:00 9986460                            /opt/a b/dmq
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 1                          /usr/lib/b/dmq
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`
	want := []mapping{{start: 0x400000, end: 0x120a000}, {start: 0x120a000, end: 0x20e8000}}
	if diff := cmp.Diff(want, unchangedMappings([]byte(smaps), "/opt/a b/dmq"), cmp.AllowUnexported(mapping{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "\n\n", "x-y r-xp 0 0 0 /opt/a b/dmq\nAnonymous: 0 kB\n", "Anonymous: 0 kB\n", "1-2\nAnonymous:\n"} {
		if got := unchangedMappings([]byte(bad), "/opt/a b/dmq"); len(got) != 0 {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// Pages are gone, those that this test itself needs have come back, and the program goes on.
func TestReleaseProgramPages(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	before := programResident(t, program)
	releaseProgramPages(os.ReadFile)
	after := programResident(t, program)
	if after >= before {
		t.Errorf("%d kB of the program were resident, %d kB are", before, after)
	}
}

// programResident is how many kB of the program's file are resident.
func programResident(t *testing.T, program string) int {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	sum, inside := 0, false
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		fields := strings.Fields(s.Text())
		switch {
		case strings.Contains(fields[0], "-"):
			inside = strings.HasSuffix(s.Text(), " "+program)
		case inside && fields[0] == "Rss:":
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}
