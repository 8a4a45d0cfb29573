package producerstate

// Update collects the effects of batches that are about to be written. The windows of its producers change as it goes,
// so that the batches of one round see each other, and are put back by Discard; open transactions change at Commit.
type Update struct {
	m         *Manager
	open      bool
	number    uint64  // rises with each update
	saved     []entry // as they were before the update
	created   []int64 // producers that did not exist before
	started   []txn
	completed []CompletedTxn
}

// Begin starts an update. There is one at a time: it ends with Commit or Discard.
func (m *Manager) Begin() *Update {
	u := &m.update
	if u.open {
		panic("producerstate: an update is open already")
	}
	u.open = true
	u.number++
	u.saved, u.created, u.started, u.completed = u.saved[:0], u.created[:0], u.started[:0], u.completed[:0]
	return u
}

// FindDuplicate looks for a batch of the same producer epoch and sequence range among the last five of its producer,
// those of this update included. The log answers a duplicate with the original's offsets and timestamp, waits until the
// original is durable, and writes nothing. Only client batches are looked up: a replicated one is never a duplicate.
func (u *Update) FindDuplicate(b Batch) (BatchMetadata, bool) {
	e := u.m.producers[b.ProducerID]
	if e == nil {
		return BatchMetadata{}, false
	}
	return e.findDuplicate(b)
}

// Append checks a data batch and takes it in. On error the update is as before.
func (u *Update) Append(b Batch, o Origin) error {
	e := u.m.producers[b.ProducerID]
	if e == nil {
		e = u.create(b.ProducerID)
	} else {
		if err := e.check(b, o); err != nil {
			return err
		}
		u.save(e)
	}
	e.setEpoch(b.ProducerEpoch)
	e.addBatch(metadataOf(b))
	e.lastTimestamp = b.MaxTimestamp
	if b.Transactional && e.txnFirstOffset == NoOffset {
		e.txnFirstOffset = b.BaseOffset
		u.started = append(u.started, txn{producerID: b.ProducerID, firstOffset: b.BaseOffset, lastOffset: NoOffset})
	}
	return nil
}

// AppendMarker checks an end marker and takes it in. On error the update is as before.
func (u *Update) AppendMarker(mk Marker, o Origin) error {
	e := u.m.producers[mk.ProducerID]
	if e == nil {
		e = u.create(mk.ProducerID)
	} else {
		if err := e.checkMarker(mk, o); err != nil {
			return err
		}
		u.save(e)
	}
	if e.txnFirstOffset != NoOffset { // an empty transaction moves no last stable offset and needs no index entry
		u.completed = append(u.completed, CompletedTxn{
			ProducerID: mk.ProducerID, FirstOffset: e.txnFirstOffset, LastOffset: mk.Offset, Aborted: mk.Abort,
		})
	}
	e.setEpoch(mk.ProducerEpoch)
	e.coordinatorEpoch = mk.CoordinatorEpoch
	e.txnFirstOffset = NoOffset
	e.lastTimestamp = mk.Timestamp
	return nil
}

func (u *Update) create(producerID int64) *entry {
	fresh := newEntry(producerID)
	fresh.touched = u.number
	u.m.producers[producerID] = &fresh
	u.created = append(u.created, producerID)
	return &fresh
}

func (u *Update) save(e *entry) {
	if e.touched == u.number {
		return
	}
	e.touched = u.number
	u.saved = append(u.saved, *e)
}

// Commit keeps the update, after its batches were written up to endOffset. For each transaction returned the caller
// writes the transaction index (when aborted, with LastStableOffset) and then calls CompleteTxn, in order. The slice is
// valid until the next Begin.
func (u *Update) Commit(endOffset int64) []CompletedTxn {
	u.end()
	for _, t := range u.started {
		u.m.ongoing.add(t)
	}
	u.m.mapEndOffset = endOffset
	u.m.forgetOldest()
	return u.completed
}

// Discard drops the update.
func (u *Update) Discard() {
	u.end()
	for _, e := range u.saved {
		if live := u.m.producers[e.producerID]; live != nil {
			*live = e
		}
	}
	for _, id := range u.created {
		delete(u.m.producers, id)
	}
}

func (u *Update) end() {
	if !u.open {
		panic("producerstate: no update is open")
	}
	u.open = false
}
