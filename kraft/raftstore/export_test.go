package raftstore

// FlipBit damages the first (or last) value of a kind on the disk.
func FlipBit(d *Disk, kind byte, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	low, _ := d.find([]byte{kind})
	high, _ := d.find([]byte{kind + 1})
	i := low
	if last {
		i = high - 1
	}
	v := append([]byte(nil), d.vals[i]...)
	v[len(v)/2] ^= 1
	d.vals[i] = v
}
