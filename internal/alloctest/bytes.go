// Package alloctest measures what a function allocates, for tests of hostile input: what
// a file claims must not cost memory.
package alloctest

import "runtime"

// Bytes is how many bytes f allocates, freed ones too, with all that other goroutines
// allocate meanwhile.
func Bytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
