package capture

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
)

const (
	// softwareIdentity is that of softdog, a timer of this kernel: it guards no dump.
	softwareIdentity = "Software Watchdog"
	// watchdogLook is how often new devices are looked for: their drivers are loaded meanwhile.
	watchdogLook = 250 * time.Millisecond
)

// watchdogs are all hardware watchdogs of the machine, opened as they appear and fed in the
// background. The crashed kernel has armed some of them; and they guard against a kernel that hangs. A
// capture that makes no progress ends by itself (see Config.StallTimeoutSeconds).
type watchdogs struct {
	sys  Files
	say  func(format string, args ...any)
	quit chan struct{}
	done chan struct{} // of the search

	mu   sync.Mutex
	dogs map[string]*watchdog // by device name: "watchdog0"
}

// watchdog is one of them.
type watchdog struct {
	name  string
	done  chan struct{} // closed when it is fed no more
	file  File          // nil if it could not be opened; set before done is closed
	stuck bool          // nowayout: it can't be stopped
}

// startWatchdogs opens what is there, which arms it (Documentation/watchdog/watchdog-api.rst), and
// goes on looking.
func startWatchdogs(sys Files, say func(format string, args ...any)) *watchdogs {
	w := &watchdogs{sys: sys, say: say, quit: make(chan struct{}), done: make(chan struct{}), dogs: map[string]*watchdog{}}
	w.look()
	go func() {
		defer close(w.done)
		ticker := time.NewTicker(watchdogLook)
		defer ticker.Stop()
		for {
			select {
			case <-w.quit:
				return
			case <-ticker.C:
				w.look()
			}
		}
	}()
	return w
}

// look takes up the devices that are new, and tells how many there are.
func (w *watchdogs) look() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := watchdogNames(w.sys.FS())
	for _, name := range names {
		if w.dogs[name] != nil {
			continue
		}
		dog := &watchdog{name: name, done: make(chan struct{})}
		w.dogs[name] = dog
		go w.feed(dog)
	}
	return len(names)
}

// watchdogNames are the devices below /dev: watchdog0, watchdog1; or watchdog, where a driver has none
// with a number. softdog is left out.
func watchdogNames(root fs.FS) []string {
	entries, err := fs.ReadDir(root, "dev")
	if err != nil {
		return nil
	}
	var names []string
	plain := false
	for _, e := range entries {
		number, found := strings.CutPrefix(e.Name(), "watchdog")
		plain = plain || found && number == ""
		if _, err := strconv.ParseUint(number, 10, 16); !found || err != nil {
			continue
		}
		if watchdogAttribute(root, e.Name(), "identity") != softwareIdentity {
			names = append(names, e.Name())
		}
		plain = false
	}
	if plain && len(names) == 0 && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "watchdog") && e.Name() != "watchdog" }) {
		names = append(names, "watchdog")
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return names
}

// watchdogAttribute reads sysfs, which may not have it (CONFIG_WATCHDOG_SYSFS): "" then.
func watchdogAttribute(root fs.FS, name, attribute string) string {
	text, err := sysfs.ReadString(root, "sys/class/watchdog/"+name+"/"+attribute)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

// petInterval is a quarter of the watchdog's timeout, if sysfs knows it.
func petInterval(root fs.FS, name string) time.Duration {
	seconds, err := strconv.ParseUint(watchdogAttribute(root, name, "timeout"), 10, 31)
	if err != nil {
		return 5 * time.Second
	}
	return min(max(time.Duration(seconds)*time.Second/4, 500*time.Millisecond), 10*time.Second)
}

// feed opens a watchdog and feeds it until the end, and once more then.
func (w *watchdogs) feed(dog *watchdog) {
	defer close(dog.done)
	f, err := w.sys.OpenFile("/dev/"+dog.name, os.O_WRONLY, 0)
	if err != nil {
		w.say("%s: %v", dog.name, err)
		return
	}
	root := w.sys.FS()
	dog.stuck = watchdogAttribute(root, dog.name, "nowayout") == "1"
	ticker := time.NewTicker(petInterval(root, dog.name))
	defer ticker.Stop()
	for ended := false; !ended; {
		// Should a write fail, the watchdog fires, which is what it is for.
		_, _ = f.Write([]byte{0})
		select {
		case <-w.quit:
			_, _ = f.Write([]byte{0})
			ended = true
		case <-ticker.C:
		}
	}
	dog.file = f
}

// stop ends the feeding. With disarm the watchdogs are turned off by their magic character, as far as
// that can be; else they keep running, and reset a machine that hangs on its way down. None is closed
// otherwise: that may stop it.
func (w *watchdogs) stop(disarm bool) {
	close(w.quit)
	late := time.After(flushTimeout) // a driver may hang
	select {
	case <-w.done:
	case <-late:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dog := range w.dogs {
		select {
		case <-dog.done:
		case <-late:
			return
		}
		switch {
		case !disarm || dog.file == nil:
		case dog.stuck:
			w.say("%s can't be stopped (nowayout) and will reset the machine", dog.name)
		default:
			_, _ = dog.file.Write([]byte("V"))
			_ = dog.file.Close()
		}
	}
}
