// Package storm puts groups of hundreds of members through a storm: members join, leave, crash (their connections are cut), fall
// silent and come back with what they remember, while nodes are ended and started again under them. Some members are raw ones,
// whose every request is known: they look for their group's coordinator and go where it goes, and read from any node. Some are
// franz-go's. Both protocols are in it.
//
// Everything that happens is an Event of a History; Check then says what was broken:
//
//   - every record was read, and none was passed over,
//   - a committed offset never went back: who asks for it is told at least what had been acknowledged before it asked (I18),
//   - a partition had one owner in an epoch, and its next owner got it only after the one before had said that it gave it up,
//     had gone, or had been silent for as long as its session or rebalance may last (I19).
//
// Liveness is a wait with an end: after the storm every partition has an owner and everything is read and committed (I27).
//
// Check is a function of the history alone; its test feeds it histories of every fault that it is to find.
package storm
