package broker

import "github.com/distributedmq/dmq/kraft/image"

// The levels of metadata.version that Apache Kafka 4.4 knows: 3.3-IV3 to 4.4-IV2.
const (
	metadataVersion    = "metadata.version"
	minMetadataVersion = 7
	maxMetadataVersion = 33
)

// groupVersion is the feature of consumer groups (KIP-848): level 1 serves them.
const groupVersion = "group.version"

// features are the levels this node supports: only of what it serves.
func features() map[string]image.FeatureRange {
	return map[string]image.FeatureRange{metadataVersion: {Min: minMetadataVersion, Max: maxMetadataVersion}}
}
