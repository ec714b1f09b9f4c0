package capture

import (
	"github.com/gokexec/gokexec/pkg/blkid"
)

// NewFinder finds devices of a system as a capture does: a device that doesn't
// answer is given up after a while, and not asked again.
func NewFinder(sys Files) *blkid.Finder {
	return (&deviceFinder{sys: sys, touch: func() {}}).finder()
}

// MountTypes are the types that a capture will try to mount what a device holds
// as, in order: the configured one, "" for none, or what is found there.
func MountTypes(configured, node string, c *blkid.Contents) ([]string, error) {
	return fsTypes(configured, node, c)
}
