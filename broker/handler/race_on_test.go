//go:build race

package handler_test

// raceEnabled: sync.Pool drops items at random under the race detector, so allocations cannot be counted.
const raceEnabled = true
