package checkpoint

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/magiconair/properties"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// Keys of meta.properties.
const (
	versionKey     = "version"
	clusterIDKey   = "cluster.id"
	nodeIDKey      = "node.id"
	brokerIDKey    = "broker.id" // version 0
	directoryIDKey = "directory.id"
)

// reservedIDs is how many of the lowest ids Kafka keeps for itself (Uuid.RESERVED): none of them names a directory.
const reservedIDs = 100

// MetaProperties is a meta.properties file: who a log directory belongs to.
type MetaProperties struct {
	Version     int32            // 0 (ZooKeeper times, no field guaranteed) or 1
	ClusterID   string           // "" when unset, in version 0 only
	NodeID      protocol.NodeID  // NoNode when unset, in version 0 only
	DirectoryID protocol.TopicID // zero when unset
}

// NoNode is the NodeID of a meta.properties that names none.
const NoNode protocol.NodeID = -1

// ReadMetaProperties reads the file of a log directory.
func ReadMetaProperties(fsys vfs.FS, dir string) (MetaProperties, error) {
	path := filepath.Join(dir, MetaPropertiesFile)
	b, err := vfs.ReadFile(fsys, path)
	if err != nil {
		return MetaProperties{}, fmt.Errorf("read meta properties: %w", err)
	}
	m, msg := parseMetaProperties(b)
	if msg != "" {
		return MetaProperties{}, &FormatError{Path: path, Msg: msg}
	}
	return m, nil
}

func parseMetaProperties(b []byte) (m MetaProperties, fault string) {
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	p, err := loader.LoadBytes(b)
	if err != nil {
		return m, err.Error()
	}
	version, err := strconv.ParseInt(strings.TrimSpace(p.GetString(versionKey, "0")), 10, 32)
	if err != nil || version < 0 || version > 1 {
		return m, fmt.Sprintf("unknown version %.100q, want 0 or 1", p.GetString(versionKey, ""))
	}
	m.Version, m.NodeID = int32(version), NoNode
	idKey := nodeIDKey
	if version == 0 {
		idKey = brokerIDKey
	}
	if text, ok := p.Get(idKey); ok {
		id, err := parseInt32([]byte(text))
		if err != nil || id < 0 {
			return m, fmt.Sprintf("%s %.100q is not a node id", idKey, text)
		}
		m.NodeID = protocol.NodeID(id)
	}
	m.ClusterID = p.GetString(clusterIDKey, "")
	if version > 0 && m.NodeID == NoNode {
		return m, nodeIDKey + " is missing"
	}
	if version > 0 && m.ClusterID == "" {
		return m, clusterIDKey + " is missing"
	}
	if text, ok := p.Get(directoryIDKey); ok {
		if m.DirectoryID, err = protocol.ParseTopicID(text); err != nil {
			return m, fmt.Sprintf("%s: %v", directoryIDKey, err)
		}
		if reservedID(m.DirectoryID) {
			return m, fmt.Sprintf("%s %s is a reserved id", directoryIDKey, m.DirectoryID)
		}
	}
	return m, ""
}

func reservedID(id protocol.TopicID) bool {
	for _, b := range id[:len(id)-1] {
		if b != 0 {
			return false
		}
	}
	return id[len(id)-1] < reservedIDs
}

// WriteMetaProperties replaces the file of a log directory. Values are written as they are: a cluster id is 22 characters
// of URL-safe base64 and needs no escapes, and one that does is refused.
func WriteMetaProperties(fsys vfs.FS, dir string, m MetaProperties) error {
	var b strings.Builder
	b.WriteString("#\n")
	put := func(key, value string) { fmt.Fprintf(&b, "%s=%s\n", key, value) }
	if m.NodeID >= 0 {
		key := nodeIDKey
		if m.Version == 0 {
			key = brokerIDKey
		}
		put(key, strconv.Itoa(int(m.NodeID)))
	}
	if !m.DirectoryID.IsZero() {
		put(directoryIDKey, m.DirectoryID.String())
	}
	put(versionKey, strconv.Itoa(int(m.Version)))
	if m.ClusterID != "" {
		put(clusterIDKey, m.ClusterID)
	}
	if back, fault := parseMetaProperties([]byte(b.String())); fault != "" || back != m {
		return fmt.Errorf("write meta properties %+v: values do not read back (%s)", m, fault)
	}
	return vfs.WriteFileAtomic(fsys, filepath.Join(dir, MetaPropertiesFile), []byte(b.String()))
}
