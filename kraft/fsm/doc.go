// Package fsm applies the metadata log to the image.
package fsm
