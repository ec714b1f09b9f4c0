package vmlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// step bounds one request.
func (vm *VM) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return vm.bound(ctx, stepTimeout())
}

// patience is for what a whole system does, where one runs.
func (vm *VM) patience() time.Duration {
	if vm.Config.Root != "" || vm.Config.BootDisk {
		return 3 * stepTimeout()
	}
	return stepTimeout()
}

// bound ends the context after a time in which the guest could run. A host with more
// to do than it has CPUs makes it longer, so that a slow guest does not count as one that hangs.
func (vm *VM) bound(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	tasks := fmt.Sprintf("/proc/%d/task", vm.cmd.Process.Pid)
	began, delayed := time.Now(), longestDelay(tasks)
	go func() {
		for left := limit; left > 0; left = limit - time.Since(began) + max(0, longestDelay(tasks)-delayed) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(max(left, 100*time.Millisecond)):
			}
		}
		cancel(fmt.Errorf("nothing for %v", time.Since(began).Round(time.Second)))
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// longestDelay is how long that thread of a process that had to wait most has waited for a
// CPU; 0 where the kernel does not count that. tasks is its /proc/PID/task, in which
// schedstat has the time on a CPU, the time of waiting for one, both in nanoseconds, and a number
// (kernel/sched/stats.h, struct sched_info).
func longestDelay(tasks string) (longest time.Duration) {
	files, _ := filepath.Glob(filepath.Join(tasks, "*", "schedstat"))
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread may have ended
		if f := strings.Fields(string(text)); len(f) == 3 {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				longest = max(longest, time.Duration(n))
			}
		}
	}
	return longest
}
