// Package guard bounds what a request body may make the decoder do.
//
// The decoder (kmsg) trusts counts: seven bytes that claim 2^32 tagged fields cost it 42 s of CPU, and an array of tiny
// structs a hundred times the memory of the input. So nothing from a socket reaches it before Check has walked the body
// along the layout of its API key and version. A body that Check accepts is decoded without an error, in time
// proportional to its size and in memory below 32 times its size plus 64 KiB.
//
// Refused are: an array that claims more elements than the bytes left can hold; a negative length where null is not
// allowed; a string over 32,767 bytes; a varint of more than five bytes or 32 bits; tagged fields that do not rise, are
// of another version or do not fill their size; more than 64 unknown tagged fields in one struct, and so many
// structs with unknown ones that the memory bound would fall. Bytes behind the body are ignored, as Kafka ignores them.
//
// The layouts (table.go) are generated from the message definitions in Apache Kafka's clients jar, for every request that
// Kafka 4.4 defines, served or not:
//
//	go run ./protocol/guard/gen kafka-clients-4.4.0.jar > protocol/guard/table.go
//
// The package has no state and may be called from any goroutine. Accepting allocates nothing.
package guard
