// Package handler answers requests: one file per API key, or per family of keys that share their answer.
//
// A handler checks the request, asks the rooms that own the state (replica manager, metadata image, controller) and builds
// the answer. It owns no state. The listener calls [Handler.Serve] on the goroutine of a connection; handlers are safe from
// any number of them.
//
// Every handler names its versions, Kafka's behaviour it follows and where it differs. Which keys and versions exist is
// decided by protocol.APIs alone; a test holds the dispatcher against it.
//
// Errors become Kafka codes through protocol/errcode. A request error is part of the answer and is never logged above Debug.
package handler
