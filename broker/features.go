package broker

import (
	"maps"
	"slices"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
)

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
	return map[string]image.FeatureRange{
		metadataVersion: {Min: minMetadataVersion, Max: maxMetadataVersion},
		groupVersion:    {Min: 0, Max: 1},
	}
}

// firstFeatures are the levels that a new cluster begins with: the highest.
func firstFeatures() []metadata.Record {
	var out []metadata.Record
	for _, name := range slices.Sorted(maps.Keys(features())) {
		out = append(out, &metadata.FeatureLevelRecord{Name: name, Level: features()[name].Max})
	}
	return out
}
