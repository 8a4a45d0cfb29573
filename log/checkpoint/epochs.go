package checkpoint

import "github.com/distributedmq/dmq/log/vfs"

// EpochEntry says that a leader epoch began at an offset.
type EpochEntry struct {
	LeaderEpoch int32
	StartOffset int64
}

// ReadEpochs reads a leader-epoch checkpoint as it stands, in file order; a missing one has no entries.
func ReadEpochs(fsys vfs.FS, path string) ([]EpochEntry, error) {
	var entries []EpochEntry
	err := readText(fsys, path, 2, func(f [][]byte) (err error) {
		var e EpochEntry
		if e.LeaderEpoch, err = parseInt32(f[0]); err != nil {
			return err
		}
		if e.StartOffset, err = parseInt64(f[1]); err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// WriteEpochs replaces a leader-epoch checkpoint.
func WriteEpochs(fsys vfs.FS, path string, entries []EpochEntry) error {
	t := newTextBuilder(len(entries))
	for _, e := range entries {
		t.int(int64(e.LeaderEpoch), ' ')
		t.int(e.StartOffset, '\n')
	}
	return vfs.WriteFileAtomic(fsys, path, t.b)
}
