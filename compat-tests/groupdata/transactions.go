package groupdata

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactions commits offsets in transactions: one is committed, one aborted, and one is open in the end.
func (w *writer) transactions(ctx context.Context) error {
	for _, t := range []struct {
		id    string
		at    int64
		end   bool
		abort bool
	}{{id: "committed", at: 500, end: true}, {id: "aborted", at: 600, end: true, abort: true}, {id: "open", at: 700}} {
		cl, err := w.client("txn-"+t.id, map[int16]int16{24: 3, 26: 3, 28: 4})
		if err != nil {
			return err
		}
		if err := w.transaction(ctx, cl, t.id, t.at, t.end, !t.abort); err != nil {
			return fmt.Errorf("%s: %w", t.id, err)
		}
	}
	return nil
}

func (w *writer) transaction(ctx context.Context, cl *kgo.Client, id string, at int64, end, commit bool) error {
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID, init.TransactionTimeoutMillis = &id, 600000
	producer, err := ask[*kmsg.InitProducerIDResponse](ctx, cl, init)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(producer.ErrorCode); err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, producer.ProducerID, producer.ProducerEpoch, "transactional"
	added, err := ask[*kmsg.AddOffsetsToTxnResponse](ctx, cl, add)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(added.ErrorCode); err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = id, "transactional", producer.ProducerID, producer.ProducerEpoch
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = "orders"
	for partition := range int32(2) {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = partition, at+int64(partition), new("of "+id)
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := ask[*kmsg.TxnOffsetCommitResponse](ctx, cl, req)
	if err != nil {
		return err
	}
	for _, p := range resp.Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return err
		}
	}
	if !end {
		return nil
	}
	over := kmsg.NewPtrEndTxnRequest()
	over.TransactionalID, over.ProducerID, over.ProducerEpoch, over.Commit = id, producer.ProducerID, producer.ProducerEpoch, commit
	ended, err := ask[*kmsg.EndTxnResponse](ctx, cl, over)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(ended.ErrorCode)
}
