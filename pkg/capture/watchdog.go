package capture

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

const watchdogPath = "/dev/watchdog0"

// watchdog is a hardware watchdog that is petted in the background. It guards
// against a kernel that hangs; a capture that makes no progress ends by itself
// (see Config.StallTimeoutSeconds).
type watchdog struct {
	file File
	quit chan struct{}
	done chan struct{}
}

// startWatchdog opens the watchdog, which arms it
// (Documentation/watchdog/watchdog-api.rst).
func startWatchdog(sys System) (*watchdog, error) {
	f, err := sys.OpenFile(watchdogPath, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	w := &watchdog{file: f, quit: make(chan struct{}), done: make(chan struct{})}
	go w.pet(petInterval(sys.FS()))
	return w, nil
}

// petInterval is a quarter of the watchdog's timeout, if sysfs knows it.
func petInterval(root fs.FS) time.Duration {
	b, err := fs.ReadFile(root, "sys/class/watchdog/watchdog0/timeout")
	seconds, parseErr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 31)
	if err != nil || parseErr != nil {
		return 5 * time.Second
	}
	return min(max(time.Duration(seconds)*time.Second/4, 500*time.Millisecond), 10*time.Second)
}

func (w *watchdog) pet(every time.Duration) {
	defer close(w.done)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		// Should a write fail, the watchdog fires, which is what it is for.
		_, _ = w.file.Write([]byte{0})
		select {
		case <-w.quit:
			return
		case <-ticker.C:
		}
	}
}

// stop ends the petting. With disarm the watchdog is turned off by its magic
// character, unless the driver doesn't allow that; else it keeps running, and
// resets a machine that hangs on its way down.
func (w *watchdog) stop(disarm bool) {
	close(w.quit)
	select {
	case <-w.done:
	case <-time.After(flushTimeout): // the driver hangs
		return
	}
	if !disarm {
		return
	}
	_, _ = w.file.Write([]byte("V"))
	_ = w.file.Close()
}
