package capture

import (
	"github.com/gokexec/gokexec/pkg/blkid"
)

// NewFinder finds devices of a system as a capture does: a device that doesn't
// answer is given up after a while, and not asked again.
func NewFinder(sys System) *blkid.Finder {
	f := &deviceFinder{sys: sys, touch: func() {}}
	return &blkid.Finder{Root: sys.FS(), Probe: f.probe}
}

// CheckOverwrite says whether a raw target may destroy what a device holds
// without being told to; the error wraps [ErrInUse].
func CheckOverwrite(c *blkid.Contents) error { return mayOverwrite(c.Signatures) }
