package capture

import (
	"io/fs"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// LimitMemory keeps the Go heap of this process within what a capture kernel has: a good half of what is
// available, unless the environment has a limit (GOMEMLIMIT). root is that of /proc.
func LimitMemory(root fs.FS) error {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	available, err := sysfs.ReadKiB(root, "proc/meminfo", "MemAvailable")
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(available / 10 * 6)
	debug.SetGCPercent(50)
	return nil
}

// memoryGauge keeps the least MemAvailable seen.
type memoryGauge struct {
	root fs.FS
	min  atomic.Int64
}

func (g *memoryGauge) sample() {
	n, err := sysfs.ReadKiB(g.root, "proc/meminfo", "MemAvailable")
	if err != nil {
		return
	}
	for {
		old := g.min.Load()
		if old != 0 && old <= n || g.min.CompareAndSwap(old, max(n, 1)) {
			return
		}
	}
}

// describe fills in what is known; what isn't stays 0.
func (g *memoryGauge) describe(m *MemoryUse) {
	g.sample()
	m.PeakRSSBytes, _ = sysfs.ReadKiB(g.root, "proc/self/status", "VmHWM")
	m.MemTotalBytes, _ = sysfs.ReadKiB(g.root, "proc/meminfo", "MemTotal")
	m.MinMemAvailableBytes = g.min.Load()
}
