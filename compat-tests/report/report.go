// Package report counts checks and closes with the line that every entry point of the compatibility tests closes with:
// "N passed, N failed".
//
// A Report is used from one goroutine: New → Check… → Close. It prints a failed check at once, passed ones only when Verbose.
package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report counts checks.
type Report struct {
	Passed, Failed int
	Verbose        bool
	Failures       []string // "name: error", in order

	w    io.Writer
	name string
}

// New returns a report that prints to w and names itself in each line.
func New(w io.Writer, name string) *Report { return &Report{w: w, name: name} }

// Check runs fn and counts it as passed when it returns nil. A panic counts as a failure, as the check is what broke.
func (r *Report) Check(name string, fn func() error) (ok bool) {
	began := time.Now()
	err := guarded(fn)
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		r.Failed++
		r.Failures = append(r.Failures, name+": "+err.Error())
		fmt.Fprintf(r.w, "FAIL %s: %s: %s (%s)\n", r.name, name, strings.ReplaceAll(err.Error(), "\n", "\n     "), took)
		return false
	}
	r.Passed++
	if r.Verbose {
		fmt.Fprintf(r.w, "ok   %s: %s (%s)\n", r.name, name, took)
	}
	return true
}

// Fail counts a failure that was found outside a check.
func (r *Report) Fail(name string, err error) { r.Check(name, func() error { return err }) }

func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

// Close prints the closing line and returns the exit code.
func (r *Report) Close() int {
	fmt.Fprintf(r.w, "%d passed, %d failed\n", r.Passed, r.Failed)
	if r.Failed > 0 || r.Passed == 0 {
		return 1
	}
	return 0
}
