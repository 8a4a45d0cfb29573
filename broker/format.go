package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// ErrFormatted says that a directory already belongs to a node.
var ErrFormatted = errors.New("the directory is formatted already")

// Format says how the directories of a node that has never run are to be prepared.
type Format struct {
	Properties *config.Config
	ClusterID  string // of the cluster the node is to belong to
	// Standalone makes this node the first voter of a new quorum, the others join it.
	Standalone bool
	// Voters are the first voters of a new quorum, this node among them, each with its directory id.
	Voters []kraft.Voter
	// Existing leaves directories alone that are formatted already, instead of failing with ErrFormatted.
	Existing bool

	FS     vfs.FS // nil: the operating system's
	Logger *slog.Logger
}

// Run prepares the directories: each gets a meta.properties, and the one of the metadata log the first configuration of the
// quorum if this node is one of its first voters. It returns the directories that were formatted.
func (f *Format) Run() (formatted []string, err error) {
	if f.FS == nil {
		f.FS = vfs.OS()
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	p := f.Properties
	dirs := []string{p.MetadataLogDir}
	for _, dir := range p.LogDirs {
		if p.IsBroker && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	todo, err := f.unformatted(dirs)
	if err != nil {
		return nil, err
	}
	directory, err := f.voterDirectory()
	if err != nil {
		return nil, err
	}
	if slices.Contains(todo, p.MetadataLogDir) {
		if err := f.quorum(directory); err != nil {
			return nil, err
		}
	}
	for _, dir := range todo {
		if dir != p.MetadataLogDir {
			if directory, err = protocol.NewTopicID(rand.Reader); err != nil {
				return formatted, err
			}
		}
		if err := f.FS.MkdirAll(dir, 0o755); err != nil {
			return formatted, err
		}
		meta := checkpoint.MetaProperties{Version: 1, ClusterID: f.ClusterID, NodeID: p.NodeID, DirectoryID: directory}
		if err := checkpoint.WriteMetaProperties(f.FS, dir, meta); err != nil {
			return formatted, err
		}
		formatted = append(formatted, dir)
	}
	return formatted, nil
}

// unformatted lists the directories that are to be formatted.
func (f *Format) unformatted(dirs []string) (todo []string, err error) {
	for _, dir := range dirs {
		meta, err := checkpoint.ReadMetaProperties(f.FS, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			todo = append(todo, dir)
			continue
		case err != nil:
			return nil, err
		case !f.Existing:
			return nil, fmt.Errorf("%s: %w", dir, ErrFormatted)
		case meta.ClusterID != f.ClusterID:
			return nil, fmt.Errorf("%s belongs to cluster %s, not to %s", dir, meta.ClusterID, f.ClusterID)
		}
	}
	return todo, nil
}

// voterDirectory is the id of the metadata log directory: the one that the other voters are told, or a new one.
func (f *Format) voterDirectory() (protocol.TopicID, error) {
	for _, v := range f.Voters {
		if v.ID == f.Properties.NodeID {
			return v.DirectoryID, nil
		}
	}
	if len(f.Voters) > 0 {
		return protocol.TopicID{}, fmt.Errorf("node %d is not one of the initial controllers", f.Properties.NodeID)
	}
	return protocol.NewTopicID(rand.Reader)
}

// quorum writes the first configuration of the quorum. It comes before meta.properties: what is interrupted is done again.
func (f *Format) quorum(directory protocol.TopicID) error {
	voters := f.Voters
	if f.Standalone {
		voters = []kraft.Voter{{ID: f.Properties.NodeID, Address: f.Properties.AdvertisedController.Addr(), DirectoryID: directory}}
	}
	if len(voters) == 0 {
		return nil
	}
	dir := filepath.Join(f.Properties.MetadataLogDir, metadataDir)
	var failed error
	store, err := openStore(f.FS, dir, f.Logger, func(err error) { failed = err })
	if err != nil {
		return fmt.Errorf("open the metadata log in %s: %w", dir, err)
	}
	err = kraft.Format(store, voters)
	if errors.Is(err, kraft.ErrFormatted) {
		err = fmt.Errorf("%s: %w", dir, ErrFormatted)
	}
	return errors.Join(err, store.Close(), failed)
}
