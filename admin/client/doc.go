// Package client drives a cluster over the admin ports of its nodes, as any HTTP client can.
//
// A [Client] owns what it has learnt of the active controller and nothing else. [Client.Discover] asks all nodes that it was given
// at once and takes the first good answer; it never waits for the slow ones. [Client.Lead] sends a request to the active
// controller, to which a node that is not directs it; [Client.Any] sends one to any node. All methods of a Client may be
// called from any goroutine.
//
// A refusal is an [*Error], with Kafka's name of the error. A request that may have been carried out is never sent twice.
package client
