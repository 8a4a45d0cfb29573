// Package controller takes the decisions of the active controller: the node that leads the metadata quorum.
//
// It owns two things: the proposals under way and the brokers' sessions (when each was last heard of, and whether it holds a
// connection). Everything else it knows is the image. [Controller.Handle] is the one door for requests, and
// [Controller.SessionOpened] for session connections; both are safe from any goroutine. Life: New → Run (one goroutine, and one
// more for each broker that may be dead, until its context ends).
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
//  4. ISRs, eligible leader replicas and leaders are decided in one place: transition, which states their invariants. Who was
//     last known to hold a partition is never forgotten.
//  5. A new controller takes every unfenced broker as just heard of: it fences none for having been elected, but asks after all.
//  6. Nothing that may wait for another process runs on the loop: brokers are asked on goroutines of their own (probes), or on the
//     caller's.
//
// # Errors
//
// An error of Handle means that the whole request failed; it carries its Kafka kind. What concerns one topic or
// resource is in the response.
package controller
