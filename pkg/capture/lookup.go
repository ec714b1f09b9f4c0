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
