package group

import (
	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// This file is what the change between the protocols asks of a classic group.

// releaseClassic ends a classic group that becomes a consumer group: who waits has to join again, and its timers end.
func (s *State) releaseClassic(fx coordlog.Effects, g *classicGroup) {
	g.answerAll(errcode.KindRebalanceInProgress)
	s.classic(fx, g).cancelTimers()
}

// adoptClassic makes g, which a consumer group became, the group of its id, once its record is appended. With a reason,
// its members have to join again.
func (s *State) adoptClassic(fx coordlog.Effects, g *classicGroup, rebalance string) {
	s.groups[g.groupID] = g
	o := s.classic(fx, g)
	for m := range g.inOrder() {
		o.keepSession(m, m.sessionTimeout)
	}
	if rebalance != "" {
		o.prepareRebalance(rebalance)
	}
}
