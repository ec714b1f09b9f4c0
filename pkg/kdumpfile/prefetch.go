//go:build amd64 || arm64

package kdumpfile

// prefetch has the CPU bring n bytes at p into its caches, by pieces of 64 bytes, while it goes on. It never faults: what can't be
// read isn't brought (PREFETCHT0 of x86, PRFM of arm64).
//
//go:noescape
func prefetch(p *byte, n int)
