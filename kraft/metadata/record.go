package metadata

// Record is one change of the cluster's metadata. The types that implement it are the ones of this package.
type Record interface {
	recordType() Type
}

// Type numbers the kinds of records; part of the on-disk format.
type Type uint16
