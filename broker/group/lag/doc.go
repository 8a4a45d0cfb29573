// Package lag measures how far groups are behind: in records, and in time.
//
// The lag of a partition is its high watermark less the committed offset. Behind is the age of the first record that the group
// has not consumed, by the record's own timestamp: 0 with no lag. It is read from the batch that holds the record, which
// may be older than the record by as much as its batch took to fill; where a committed offset lies below the start of the
// log, it is the first record that is left.
//
// A Tracker owns what it has read before: a group that stands still costs no read. Its callers are a scrape and the admin
// port, on any goroutine. It knows logs through EndOffsets only, so that partitions which are led elsewhere can be asked for in
// the same way.
//
// Bounds: a measurement reads no more than MaxReads batch headers, and asks nothing more when its context ends. What is beyond that
// is skipped this time.
package lag
