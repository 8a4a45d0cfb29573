package guard

import "fmt"

// Limits that are ours; Kafka knows none.
const (
	// MaxUnknownTags is how many tagged fields a struct may have that the layout does not know.
	MaxUnknownTags = 64

	maxString = 1<<15 - 1 // Kafka's

	// The decoder's memory is estimated on the way and may come to costPerByte times the size plus freeCost. Allocators
	// round up, which is why this is below the bound that is promised.
	costPerByte = 28
	freeCost    = 32 << 10
)

// RefusedError says why a body is not decoded.
type RefusedError struct {
	Key, Version int16
	Position     int // in the body, where the walk stopped
	Reason       string
}

// Error implements error.
func (e *RefusedError) Error() string {
	name := "request"
	if r := find(e.Key); r != nil {
		name = r.name
	}
	return fmt.Sprintf("%s (api key %d) v%d refused at byte %d: %s", name, e.Key, e.Version, e.Position, e.Reason)
}

// Check reports whether the body of a request may be decoded. The error is a *RefusedError.
func Check(key, version int16, body []byte) error {
	r := find(key)
	if r == nil || version < r.min || int(version-r.min) >= len(r.layouts) {
		return &RefusedError{Key: key, Version: version, Reason: "no layout for this version"}
	}
	w := walker{b: body, size: len(body)}
	if w.structure(&layouts[r.layouts[version-r.min]]) && w.spend(0) {
		return nil
	}
	return &RefusedError{Key: key, Version: version, Position: w.size - len(w.b), Reason: w.fault.String()}
}

func find(key int16) *request {
	lo, hi := 0, len(requests)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); requests[mid].key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(requests) && requests[lo].key == key {
		return &requests[lo]
	}
	return nil
}

// Tags walks over a section of tagged fields none of which is known, such as a request header's, and returns what is
// behind it.
func Tags(b []byte) ([]byte, error) {
	w := walker{b: b, size: len(b)}
	if !w.tags(nil) {
		return nil, fmt.Errorf("tagged fields refused at byte %d: %s", w.size-len(w.b), w.fault)
	}
	return w.b, nil
}

// fault is why a walk stopped.
type fault uint8

const (
	faultNone fault = iota
	faultShort
	faultNull
	faultString
	faultVarint
	faultArray
	faultTagOrder
	faultTagVersion
	faultTagSize
	faultTagCount
	faultCost
	faultStruct
)

func (f fault) String() string {
	return [...]string{
		faultNone:       "nothing wrong",
		faultShort:      "the body ends inside a field",
		faultNull:       "null where the field cannot be null",
		faultString:     "a string of more than 32767 bytes",
		faultVarint:     "a varint of more than 32 bits",
		faultArray:      "an array with more elements than the bytes left can hold",
		faultTagOrder:   "tagged fields that do not rise",
		faultTagVersion: "a tagged field of another version",
		faultTagSize:    "a tagged field that does not fill its size",
		faultTagCount:   "too many unknown tagged fields in one struct",
		faultCost:       "it would take too much memory to decode for its size",
		faultStruct:     "a struct that is neither null nor present",
	}[f]
}
