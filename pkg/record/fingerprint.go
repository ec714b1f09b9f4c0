package record

import "github.com/gokexec/gokexec/pkg/memmap"

// CrashMemory is one reserved range, half-open.
type CrashMemory struct {
	Start memmap.PhysAddr `json:"start"`
	End   memmap.PhysAddr `json:"end"`
}

// Fingerprint is of memory that a load has filled and that nothing changes until
// the next one: so it tells whether another program has loaded since. The zero
// value is that of a load whose memory could not be read.
type Fingerprint struct {
	SHA256 string        `json:"pages_sha256,omitempty"` // of the pages that are not all zero, each behind its address
	Ranges []CrashMemory `json:"ranges,omitempty"`
}
