//go:build race

package guard_test

// raceDetector: the compiler makes more allocations and the program is several times slower.
const raceDetector = true
