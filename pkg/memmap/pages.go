package memmap

// PageSize is the smallest page, in bytes: that of x86, and what dumps are read by.
const PageSize = 4096

// PageUp rounds a number of bytes up to whole pages of PageSize.
func PageUp(n uint64) uint64 { return RoundUp(n, PageSize) }

// RoundUp gives the next multiple of to, or n if it is one. The sum must not overflow.
func RoundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }
