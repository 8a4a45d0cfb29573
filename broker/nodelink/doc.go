// Package nodelink sends Kafka requests to another node: a broker's registration and heartbeats to the active
// controller, and later whatever a broker forwards.
//
// A Link owns one connection to one address and its read goroutine. Any goroutine may call Request; requests go out in
// the order of the calls and are answered by correlation id. The other node answers in order, so whoever must not wait
// behind others has a link of its own. Life: New → Request … → Close, which joins the goroutine.
//
// A connection that fails, and one on which a request ran into its deadline, fails every request on it; the next Request
// dials again, at once after a connection that had worked and after a growing pause otherwise. A request is never sent
// twice: whether to repeat it is its owner's choice. A node that moved to another address is dialled there by the next
// Request.
package nodelink
