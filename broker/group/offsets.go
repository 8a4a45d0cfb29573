package group

// offsets are the committed offsets of a shard's groups.
type offsets struct{}

func newOffsets() offsets { return offsets{} }
