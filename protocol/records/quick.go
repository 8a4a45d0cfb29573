package records

// quickHead is how many bytes at the start of a record quickRecord looks at: everything before the key.
const quickHead = 2 + 1 + 3 + 3

// quickRecord parses the shape that nearly all small records have: no headers, a body, key and value below 8 KiB and small
// deltas. It makes the checks of parseRecord without calls and loops, which are most of the cost of small records. It
// returns -1 for any other shape, for malformed records, and near the end of p; parseRecord decides those.
func quickRecord(p []byte, at int, f *fields) (next int) {
	if len(p)-at < quickHead {
		return -1
	}
	h := (*[quickHead]byte)(p[at:])

	n, j := uint(h[0]), 1
	if n >= 0x80 {
		if h[1] >= 0x80 {
			return -1
		}
		n, j = n&0x7f|uint(h[1])<<7, 2
	}
	if n&1 != 0 {
		return -1
	}
	end := at + j + int(n>>1)
	if end > len(p) {
		return -1
	}

	f.attributes = int8(h[j])
	u := uint64(h[j+1])
	j += 2
	if u >= 0x80 {
		u = u&0x7f | uint64(h[j])<<7
		j++
		if u >= 1<<14 {
			u = u&(1<<14-1) | uint64(h[j])<<14
			j++
			if u >= 1<<21 {
				return -1
			}
		}
	}
	f.timestampDelta = int64(u>>1) ^ -int64(u&1)

	d := uint32(h[j])
	j++
	if d >= 0x80 {
		d = d&0x7f | uint32(p[at+j])<<7
		j++
		if d >= 1<<14 {
			return -1
		}
	}
	f.offsetDelta = int32(d>>1) ^ -int32(d&1)

	at += j
	if f.keySize, f.keyAt, at = quickField(p, at, end); at < 0 {
		return -1
	}
	if f.valueSize, f.valueAt, at = quickField(p, at, end); at < 0 {
		return -1
	}
	if at != end-1 || p[at] != 0 {
		return -1
	}
	f.headers, f.headersAt = 0, end
	return end
}

// quickField is field for lengths of at most two bytes.
func quickField(p []byte, at, end int) (size int32, begin, next int) {
	if at+2 > end || end > len(p) {
		return 0, 0, -1
	}
	u := uint32(p[at])
	at++
	if u >= 0x80 {
		u = u&0x7f | uint32(p[at])<<7
		at++
		if u >= 1<<14 {
			return 0, 0, -1
		}
	}
	if u&1 != 0 {
		if u != 1 {
			return 0, 0, -1
		}
		return -1, at, at
	}
	size = int32(u >> 1)
	return size, at, at + int(size)
}
