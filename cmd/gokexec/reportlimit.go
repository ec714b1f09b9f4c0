package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/sysfs"
)

const (
	// reportHeap is what the Go runtime keeps the memory of a report's child to, in bytes, by collecting earlier.
	reportHeap = 6 << 20
	// reportGrowth is how much more private memory than at its start the kernel gives it, in bytes. Go takes 4 MiB at a
	// time.
	reportGrowth = 16 << 20
)

// boundReport bounds the memory of this process, which makes the report in a capture kernel: there is little, and the
// dump comes first. Only a process of its own may be bounded so: beyond the limit it ends.
func boundReport() error {
	debug.SetMemoryLimit(reportHeap)
	debug.SetGCPercent(25)
	// What RLIMIT_DATA counts (proc_pid_status(5)); most of it Go has only set aside.
	size, err := sysfs.ReadKiB(os.DirFS("/"), "proc/self/status", "VmData")
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("getrlimit(RLIMIT_DATA): %w", err)
	}
	limit.Cur = min(limit.Cur, uint64(size)+reportGrowth)
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("setrlimit(RLIMIT_DATA, %d): %w", limit.Cur, err)
	}
	return nil
}
