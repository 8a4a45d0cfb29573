// Package listener owns the sockets of one listener: it accepts connections, cuts frames out of them, decodes the
// requests behind protocol's guard, runs them in order and sends the answers in the same order.
//
// It owns connections and request buffers. The composition root creates one Server per listener; handlers see only
// Request, ConnInfo and the Response kinds. Life: New → Serve, ServeConn (any goroutine) → Shutdown or Close, which join
// every goroutine the server started.
//
// Invariants
//
//  1. Responses leave in the order of the requests. A request is run on its connection's read goroutine; only a Produce
//     that has been appended and waits for its acknowledgement (a pipelined Pending) lets the next one be read, and at
//     most 64 requests or 16 MiB of them are outstanding. Every other request holds its connection, as in Kafka.
//     Where the handler is a Gatherer, requests it agrees to are held back while more of them can be read without
//     waiting, at most 16 or 1 MiB, and served together: no request waits for one that has not come.
//  2. Memory follows bytes received, never bytes claimed: a frame buffer grows as its bytes arrive, all of them count
//     against one Gate, and a peer that stalls while memory is short is cut off first.
//  3. What a peer does not read stays bounded: one coalesced write or one send buffer per connection, then its requests
//     are no longer read.
//  4. Request bytes stay valid until Serve has returned and a Pending has been completed, or Release was called.
//  5. A panic in a handler ends its connection and is counted; a broken invariant ends the process.
//
// Goroutines: one accept loop and one sweeper (deadlines) per server; one per connection; one more for a connection
// while completed responses are being written behind others.
package listener
