// Package api is the REST of the admin port below /api/v1: whoever has curl can see and drive the cluster with it, and the
// same controller decides as for Kafka's protocol.
//
// It owns nothing but the newest controller that it was told of (see controller.go). What it shows is the metadata image
// at hand and what [Cluster] and [Broker] say; what it changes goes to the controller as Kafka's own requests; records go to
// brokers as Produce and Fetch, over a connection like any client's. There is one file for each resource. The HTTP server calls it
// on a goroutine for each request.
//
// Invariants:
//  1. What only the active controller may answer is answered after the quorum has confirmed that it leads. Every other node
//     answers 503 and names the controller; while none is known, 503 with Retry-After.
//  2. Every failed request is answered with an [Error]: Kafka's name of the error where there is one, the same text in the header
//     X-Error-Message. 500 is a fault of this node and nothing else.
//  3. Memory follows the bytes of bodies that were received, and is bounded over all requests.
//  4. Members of requests that are not known are ignored; those of answers never change their meaning. Times are milliseconds
//     since the Unix epoch, -1 when not known. Arrays are never null.
//
// /api/v1/openapi.json describes it all; it is made of the same table and types.
package api
