// Package raftnet carries the quorum's own conversations over the listeners that Kafka's protocol uses.
//
// It owns streams: connections that begin with a preamble of ours instead of a Kafka frame. [Net.Serve] takes such a
// connection over from the listener, [Net.Dial] opens one, and [Net.Transport] is a transport for raft on top. The metadata
// quorum decides who may take part ([Handler]); nothing is decided here.
//
// # Preamble
//
// Whoever dials sends a hello and is answered with a reply; both have the same frame. Numbers are big-endian, texts carry
// their length in a byte before them. What follows the known fields is skipped, so that later versions may add to it.
//
//	magic 0xDA | version 1 | length of the rest uint16
//	hello: kind uint8 | identity
//	reply: status uint8 | identity | leader int32 | leader's address text | reason text
//	identity: node id int32 | directory id 16 bytes | incarnation 16 bytes | flags uint8 | cluster id text | address text
//
// No Kafka frame begins with a byte of 0x80 or more: its length would be negative. Flag 1 says that the sender's metadata log
// holds more than the first configuration. The cluster id is empty on a node that has
// not learned it yet. The address is where the sender accepts streams.
//
// # Kinds
//
//   - raft: hashicorp/raft's calls, in its own encoding. Refused for a node whose directory is not the one that the quorum
//     knows.
//   - join: the node asks to be made a member, or to have its address noted. The reply is the answer.
//   - session: held open by a broker to the controller; one byte (goodbye) announces its end.
//   - probe: who is there? The reply is the answer.
//
// Life: New → Attach → Serve and Dial from any goroutine → Close, which ends every stream; Serve returns when its stream has
// ended.
//
// Invariants:
//  1. A preamble costs at most two kilobytes and preambleTimeout, whatever is sent.
//  2. Of at most peersMost nodes it is remembered how they introduced themselves.
//  3. No byte of raft is read from a node of another cluster, or from one that the handler refuses.
package raftnet
