package handler

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveInitProducerID gives an idempotent producer an id that nobody else has had.
//
// InitProducerId: v0-v5
//
// Behaviour:
//   - without a transactional id: a new id with epoch 0, whatever the producer had before
//   - while no block of ids can be had: COORDINATOR_LOAD_IN_PROGRESS, which producers retry
//
// Version notes:
//   - v3 id and epoch the producer had (KIP-360): both or none, else INVALID_REQUEST
//   - v4, v5 other error codes, of transactions only
//
// Difference from Apache Kafka: transactions are not served. A transactional id is answered with UNSUPPORTED_VERSION, as
// Kafka answers for features whose level is 0: producers give up at once with that as the reason, where
// COORDINATOR_NOT_AVAILABLE would have them retry until they time out. Most get there sooner, since FindCoordinator is not
// advertised. An empty one is INVALID_REQUEST.
func (d *dataHandler) serveInitProducerID(ctx context.Context, _ *listener.Request, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		resp.ErrorCode = int16(errcode.KindInvalidRequest)
	case req.TransactionalID != nil && *req.TransactionalID == "":
		resp.ErrorCode = int16(errcode.KindInvalidRequest)
	case req.TransactionalID != nil:
		resp.ErrorCode = int16(errcode.KindUnsupportedVersion)
	default:
		ctx, cancel := context.WithTimeout(ctx, d.h.requestTimeout)
		defer cancel()
		id, err := d.producerIDs.next(ctx)
		if err != nil {
			d.h.logger.DebugContext(ctx, "allocate producer ids", errAttr(err))
			resp.ErrorCode = int16(errcode.KindCoordinatorLoadInProgress)
			return resp
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	return resp
}

// producerIDs hands out ids from the block that the controller gave this broker. What is left of a block when the broker
// stops is never used.
type producerIDs struct {
	nodeID     protocol.NodeID
	epoch      func() protocol.BrokerEpoch
	controller Controller

	turn       chan struct{} // holds one token: whoever has it owns the fields below
	start, end int64         // the ids [start, end) are free
}

func newProducerIDs(nodeID protocol.NodeID, epoch func() protocol.BrokerEpoch, c Controller) *producerIDs {
	p := &producerIDs{nodeID: nodeID, epoch: epoch, controller: c, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// next returns an id, asking the controller for a block when there is none left. Callers wait for their turn, not longer
// than ctx.
func (p *producerIDs) next(ctx context.Context) (int64, error) {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { p.turn <- struct{}{} }()
	if p.start == p.end {
		if err := p.refill(ctx); err != nil {
			return 0, fmt.Errorf("get a block of producer ids: %w", err)
		}
	}
	id := p.start
	p.start++
	return id, nil
}

func (p *producerIDs) refill(ctx context.Context) error {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = int32(p.nodeID), int64(p.epoch())
	resp, err := p.controller.Handle(ctx, req)
	if err != nil {
		return err
	}
	block, ok := resp.(*kmsg.AllocateProducerIDsResponse)
	switch {
	case !ok:
		return fmt.Errorf("the controller answered with %T", resp)
	case block.ErrorCode != 0:
		return errcode.New(errcode.Kind(block.ErrorCode), "%s", errcode.Name(block.ErrorCode))
	case block.ProducerIDLen <= 0 || block.ProducerIDStart < 0:
		return fmt.Errorf("the controller gave %d ids from %d", block.ProducerIDLen, block.ProducerIDStart)
	}
	p.start, p.end = block.ProducerIDStart, block.ProducerIDStart+int64(block.ProducerIDLen)
	return nil
}
