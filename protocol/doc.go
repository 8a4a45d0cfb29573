// Package protocol holds what every room shares of Kafka's wire protocol: the id types, the table of served APIs and
// versions, request and response headers, and the guarded way from bytes to a decoded request.
//
// It imports nothing of ours but its own children, owns no state and is safe from any goroutine.
package protocol
