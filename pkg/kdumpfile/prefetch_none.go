//go:build !amd64 && !arm64

package kdumpfile

// prefetch does nothing where Go has no instruction for it.
func prefetch(*byte, int) {}
