// Package notify has a new controller tell every registered broker of its election at once, over their admin ports, so that
// brokers need not wait for their next heartbeat to find out.
//
// It owns nothing but the term it has told of. A [Notifier] runs on every controller: whenever its node has become the active
// controller, which the quorum confirms, it pushes CONTROLLER_CHANGED to all brokers in parallel, each tried at 0, 500 and 1000
// ms. A broker that cannot be told finds out by itself. Life: New → Run, which joins what it started.
package notify
