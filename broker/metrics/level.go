package metrics

// Level is how fine the series of a scrape are. A coarser level leaves series out; it changes none.
type Level uint8

// The levels. The zero value is the finest.
const (
	LevelPartition Level = iota // all series
	LevelTopic                  // none of single partitions
	LevelCluster                // none of single topics or groups either
)

// ParseLevel reads a level's name: partition, topic or cluster.
func ParseLevel(name string) (Level, bool) {
	for level, known := range map[Level]string{LevelPartition: "partition", LevelTopic: "topic", LevelCluster: "cluster"} {
		if name == known {
			return level, true
		}
	}
	return LevelPartition, false
}

// MaxRows bounds the partitions, the partitions of groups, and the topics of groups that have series of their own. Beyond it
// those series are left out, and dmq_metrics_truncated says so.
const MaxRows = 10_000
