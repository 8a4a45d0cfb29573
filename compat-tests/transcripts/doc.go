// Package transcripts plays the transcripts of the state machine of classic groups, broker/group/testdata/classic, on a broker
// over the wire. On Apache Kafka that shows that the transcripts are right, on dmq that a broker is what its state machine is.
//
// What clients are told is compared; what the transcripts say about the inside of a coordinator (timers, records, events) is
// passed over. Time is real: a transcript is played until it does what a broker cannot be asked for, or waits for minutes.
// Brokers keep their initial rebalance delay of 3 s. Where a transcript has none, an answer is waited for, which takes no time
// in the transcript.
//
//	script.go   a transcript: its commands, and what clients are told after each
//	player.go   plays one
//	request.go  what the people in a transcript send and hear
//	check.go    all of them against one broker
package transcripts
