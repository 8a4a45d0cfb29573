package logdir

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/distributedmq/dmq/protocol"
)

// twin is the folder of a partition that lies in another directory.
//
// One comes about when a directory could not be read for a while: meanwhile the partition got a folder in another one, since its
// topic was made again, or its replica was moved to another broker and came back. The cluster counts on the one that the metadata
// name; what is in the other is out of date.
type twin struct {
	dir *dir
	tp  protocol.TopicPartition
}

// resolve decides which of two folders of a partition stays: that in the directory where the metadata have it. The other one is
// set aside. Where they do not say, a person has to: with the wrong folder acknowledged records would be lost.
func (m *Manager) resolve(p *partition, d *dir) (stays *dir, err error) {
	switch known := m.o.DirectoryOf(p.tp); {
	case known.IsZero() || known != p.dir.id && known != d.id:
		return nil, &identityError{fmt.Errorf("partition %s is in both %s and %s: move one of the two folders away, the one in the directory that failed last",
			p.tp, p.dir.path, d.path)}
	case known == p.dir.id:
		m.twins = append(m.twins, twin{dir: d, tp: p.tp})
		return p.dir, nil
	default:
		m.twins = append(m.twins, twin{dir: p.dir, tp: p.tp})
		if !p.dir.clean {
			p.dir.unrecovered.Add(-1)
		}
		m.drop(p)
		return d, nil
	}
}

// setTwinsAside renames the folders that resolve decided against, durably. The directory of one that cannot be renamed is dead: it
// would be taken for the partition at a start without metadata.
func (m *Manager) setTwinsAside() {
	for _, t := range m.twins {
		if t.dir.dead() != nil {
			continue
		}
		name, err := asideName(m.o.Rand, t.tp, straySuffix)
		path := filepath.Join(t.dir.path, name)
		if err == nil {
			err = m.o.FS.Rename(filepath.Join(t.dir.path, t.tp.String()), path)
		}
		if err == nil {
			err = t.dir.names.sync(m.o.FS, t.dir.path)
		}
		if err != nil {
			m.fail(t.dir, err)
			continue
		}
		m.logger.Warn("set a partition aside that is in another directory, too, where the metadata have it; nothing was deleted",
			slog.String("event", "log.stray"), slog.String("topic", t.tp.Topic), slog.Int("partition", int(t.tp.Partition)), slog.String("folder", path))
	}
}
