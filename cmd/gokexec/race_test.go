//go:build race

package main

// raceDetector says whether the tests run under the race detector, which takes more address space
// than any limit that a test sets.
const raceDetector = true
