// Package controller takes the decisions of the active controller: the node that leads the metadata quorum.
//
// It owns two things: the proposals under way and the brokers' sessions (when each was last heard of). Everything else it
// knows is the image. [Controller.Handle] is the one door for requests; it is safe from any goroutine. Life: New → Run (one
// goroutine, until its context ends).
//
// # How a request becomes metadata
//
// Run takes all requests that are waiting, decides them one after the other, each on the outcome it expects of those before
// it, and proposes every one that changes something as one command, conditional on exactly that outcome. The quorum stores
// all commands of such a batch together, so sixteen clients cost little more than one. When all are committed the
// answers go out: nobody is told of what another request of the batch may yet undo. A command that was void (another node led
// meanwhile) is decided again.
//
// Decisions are pure: functions of the image, the request, the sessions, the time and random ids, which are all arguments;
// they return records and how to answer once those are committed.
//
// # Invariants
//
//  1. One command per request, however many topics it names.
//  2. A request that arrives while this node does not lead is refused with NOT_CONTROLLER; nothing is decided before this
//     leader has applied all that its predecessors committed.
//  3. Heartbeats count from their arrival, before they wait for anything: a slow disk does not fence brokers.
//  4. A partition's ISR is never emptied: when its last member goes it keeps that member and has no leader, and gets it back
//     with a new leader epoch when it returns.
//
// # Errors
//
// An error of Handle means that the whole request failed; it carries its Kafka kind. What concerns one topic or
// resource is in the response.
package controller
