package vmlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// slotPatience is how long a machine waits for a slot; then it starts without one.
// Slots only limit the load, and a test that needs a second machine must not hang.
const slotPatience = 30 * time.Minute

// slotCount is how many machines run at once, in all processes together: one for each
// CPU, since an emulated CPU keeps a real one busy, or what GOKEXEC_VM_SLOTS says.
func slotCount() int {
	if n, err := strconv.Atoi(os.Getenv("GOKEXEC_VM_SLOTS")); err == nil && n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// slot waits until fewer than count machines run. The slot dies with the process.
func (c cache) slot(ctx context.Context, count int, patience time.Duration) (free func(), err error) {
	dir := c.path("lock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for began := time.Now(); time.Since(began) < patience; {
		for i := range count {
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("slot-%d", i)), os.O_RDWR|os.O_CREATE, 0o644)
			if err != nil {
				return nil, err
			}
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if err == nil {
				return func() { f.Close() }, nil
			}
			f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
				return nil, fmt.Errorf("lock slot %d: %w", i, err)
			}
		}
		// Who has waited longer looks more often.
		pause := 100 * time.Millisecond / (1 + time.Since(began)/(10*time.Second))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for one of %d slots: %w", count, context.Cause(ctx))
		case <-time.After(max(pause, time.Millisecond)):
		}
	}
	return func() {}, nil
}
