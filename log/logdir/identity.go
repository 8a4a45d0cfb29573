package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// Identify reads the identity of directories without opening or changing anything. Missing directories and files say
// nothing; directories that contradict each other are an error.
func Identify(fsys vfs.FS, dirs []string) (Identity, error) {
	id := Identity{NodeID: checkpoint.NoNode}
	for _, dir := range dirs {
		m, err := checkpoint.ReadMetaProperties(fsys, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Identity{}, err
		}
		if err := id.take(dir, m); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// take merges what a directory says into id, or refuses a directory that says otherwise.
func (id *Identity) take(dir string, m checkpoint.MetaProperties) error {
	path := filepath.Join(dir, checkpoint.MetaPropertiesFile)
	if m.ClusterID != "" {
		if id.ClusterID != "" && id.ClusterID != m.ClusterID {
			return fmt.Errorf("log directory %s belongs to cluster %s, but this node to cluster %s: "+
				"point log.dirs at the directories of this cluster (%s says so)", dir, m.ClusterID, id.ClusterID, path)
		}
		id.ClusterID = m.ClusterID
	}
	if m.NodeID != checkpoint.NoNode {
		if id.NodeID != checkpoint.NoNode && id.NodeID != m.NodeID {
			return fmt.Errorf("log directory %s belongs to node %d, but this is node %d: "+
				"set node.id=%d, or point log.dirs at the directories of this node (%s says so)", dir, m.NodeID, id.NodeID, m.NodeID, path)
		}
		id.NodeID = m.NodeID
	}
	return nil
}

// adopt reads a directory's meta.properties, checks it against what is known of the node, and draws a directory id where it
// has none.
func (m *Manager) adopt(d *dir) error {
	meta, err := checkpoint.ReadMetaProperties(m.o.FS, d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		meta = checkpoint.MetaProperties{NodeID: checkpoint.NoNode}
	case err != nil:
		return err
	default:
		if err := m.identity.take(d.path, meta); err != nil {
			return &identityError{err}
		}
	}
	d.meta = meta
	if d.id = meta.DirectoryID; d.id.IsZero() {
		if d.id, err = protocol.NewTopicID(m.o.Rand); err != nil {
			return err
		}
	}
	for _, other := range m.dirs {
		if other != d && other.id == d.id {
			return &identityError{fmt.Errorf("log directories %s and %s have the same directory.id %s: one is a copy of the other; keep one of them",
				other.path, d.path, d.id)}
		}
	}
	return nil
}

// identityError is a configuration that must not be worked around by taking one directory offline.
type identityError struct{ error }

func (e *identityError) Unwrap() error { return e.error }

// Identity returns the cluster and node id of the directories.
func (m *Manager) Identity() Identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.identity
}

// SetClusterID writes meta.properties into every directory that has none, or an incomplete one. The id must be the one that
// the directories name, if they do.
func (m *Manager) SetClusterID(id string) error {
	m.mu.Lock()
	known := m.identity
	if known.ClusterID == "" {
		m.identity.ClusterID = id
	}
	m.mu.Unlock()
	if known.ClusterID != "" && known.ClusterID != id {
		return fmt.Errorf("log directory %s belongs to cluster %s, but this node to cluster %s: point log.dirs at the directories of this cluster",
			m.dirs[0].path, known.ClusterID, id)
	}
	if id == "" || known.NodeID == checkpoint.NoNode {
		return fmt.Errorf("write %s: cluster id %q and node id %d must both be known", checkpoint.MetaPropertiesFile, id, known.NodeID)
	}
	for _, d := range m.dirs {
		want := checkpoint.MetaProperties{Version: 1, ClusterID: id, NodeID: known.NodeID, DirectoryID: d.id}
		if d.meta == want || d.dead() != nil {
			continue
		}
		if err := checkpoint.WriteMetaProperties(m.o.FS, d.path, want); err != nil {
			m.ioError(d, err)
			return err
		}
		d.meta = want
	}
	return nil
}
