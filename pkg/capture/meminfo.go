package capture

import (
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// kibField reads a line "NAME:   123 kB" of a file such as /proc/meminfo or
// /proc/self/status, in bytes (kernel: fs/proc/meminfo.c, fs/proc/task_mmu.c).
func kibField(root fs.FS, file, name string) (int64, error) {
	text, err := sysfs.ReadString(root, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if key != name {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > 1<<53 || unit != "kB" {
			return 0, fmt.Errorf("/%s: %s: %q is not a size in kB", file, name, strings.TrimSpace(value))
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("/%s: no %s", file, name)
}

// LimitMemory keeps the Go heap of this process within what a capture kernel has: a good half of what is
// available, unless the environment has a limit (GOMEMLIMIT). root is that of /proc.
func LimitMemory(root fs.FS) error {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	available, err := kibField(root, "proc/meminfo", "MemAvailable")
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
	n, err := kibField(g.root, "proc/meminfo", "MemAvailable")
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
	m.PeakRSSBytes, _ = kibField(g.root, "proc/self/status", "VmHWM")
	m.MemTotalBytes, _ = kibField(g.root, "proc/meminfo", "MemTotal")
	m.MinMemAvailableBytes = g.min.Load()
}
