// Package nodelink sends Kafka requests to another node: a broker's registration and heartbeats to the active
// controller, and later whatever a broker forwards.
//
// A Link owns one connection to one address and its read goroutine. Any goroutine may call Request; requests go out in
// the order of the calls and are answered by correlation id. Life: New → Request … → Close, which joins the goroutine.
//
// A connection that fails fails every request on it; the next Request dials again, at once after a connection that had
// worked and after a growing pause otherwise. A request is never sent twice: whether to repeat it is its owner's choice.
package nodelink
