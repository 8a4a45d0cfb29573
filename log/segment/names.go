package segment

import (
	"fmt"
	"strconv"
	"strings"
)

// Suffixes of the files of a segment, and of those that wait for something.
const (
	LogSuffix       = ".log"
	IndexSuffix     = ".index"
	TimeIndexSuffix = ".timeindex"
	TxnIndexSuffix  = ".txnindex"

	DeletedSuffix = ".deleted" // is removed after file.delete.delay.ms
	CleanedSuffix = ".cleaned" // half written by a cleaner
	SwapSuffix    = ".swap"    // written by a cleaner, to replace the segments it was made of
)

const offsetDigits = 20

// FileName is the name of a file of the segment that begins at offset.
func FileName(offset int64, suffix string) string {
	return fmt.Sprintf("%0*d%s", offsetDigits, offset, suffix)
}

// ParseFileName splits the name of a segment's file: the offset, and all that follows the digits.
func ParseFileName(name string) (offset int64, suffix string, ok bool) {
	digits, _, found := strings.Cut(name, ".")
	if !found || len(digits) != offsetDigits {
		return 0, "", false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || offset < 0 {
		return 0, "", false
	}
	return offset, name[offsetDigits:], true
}
