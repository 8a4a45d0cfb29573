// Package fault names the faults that are planted on purpose, so that the tests which are to find such faults can be tested.
//
// Each is one line in the code that it breaks: `if fault.On(fault.AckBeforeQuorum) { … }`. Without the build tag "faults" On is a
// constant false and the compiler leaves nothing of it. With the tag, the one that $PLANTED_FAULT names is on, in every broker
// of the process; a name that is none of them ends the process, as a proof with a misspelt fault would prove nothing.
//
// It imports nothing of ours and may be imported by every room. `compat faults` (compat-tests) shows that each is caught.
package fault
