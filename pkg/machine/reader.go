package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// reader reads small files of a machine.
type reader struct {
	root fs.FS
	errs []error // of files that are there and could not be read
}

func newReader(root fs.FS) *reader { return &reader{root: root} }

// unread keeps the reason why a file could not be read; nil: it was.
func (r *reader) unread(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// read reads a file without the newlines at its end.
func (r *reader) read(name string) (string, error) {
	b, err := fs.ReadFile(r.root, name)
	return strings.TrimRight(string(b), "\n"), err
}

// optional reads a file that need not be there.
func (r *reader) optional(name string) string {
	s, err := r.read(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.unread(err)
		}
		return ""
	}
	return s
}

// text reads a file that every machine has.
func (r *reader) text(name string) string {
	s, err := r.read(name)
	if err != nil {
		r.unread(err)
		return ""
	}
	return s
}

func (r *reader) number(name string) *int64 {
	s := r.optional(name)
	if s == "" {
		return nil
	}
	v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		r.unread(fmt.Errorf("%s: %.200q is not a decimal number", name, s))
		return nil
	}
	return &v
}

// flag reads the first of the names that is there as 0 or 1.
func (r *reader) flag(names ...string) *bool {
	for _, name := range names {
		if v := r.number(name); v != nil {
			set := *v != 0
			return &set
		}
	}
	return nil
}

func (r *reader) exists(name string) bool {
	_, err := fs.Stat(r.root, name)
	return err == nil
}

// ReadText reads a small file of a machine: "" if it is not there or can't be read. The
// newlines at its end are left out.
func ReadText(root fs.FS, name string) string { return newReader(root).optional(name) }

// bootLoadedFiles tell whether a kernel is loaded for a reboot: the first is there
// since 6.19.
var bootLoadedFiles = []string{"sys/kernel/kexec/loaded", "sys/kernel/kexec_loaded"}

// BootLoaded tells whether a kernel is loaded for a reboot, nil if the kernel does not.
func BootLoaded(root fs.FS) *bool { return newReader(root).flag(bootLoadedFiles...) }

// CrashLoaded tells whether a crash kernel is loaded, nil if the kernel does
// not. It reads three times before it believes a 0: while the kernel rewrites a header
// it takes the image away for a moment (arch/x86/kernel/crash.c,
// arch_crash_handle_hotplug_event).
func CrashLoaded(root fs.FS) (loaded *bool) {
	r := newReader(root)
	for range 3 {
		loaded = r.flag("sys/kernel/kexec/crash_loaded", "sys/kernel/kexec_crash_loaded")
		if loaded == nil || *loaded {
			break
		}
	}
	return loaded
}

// LoadsUnlimited tells whether no limit counts the loads of that kind.
func LoadsUnlimited(root fs.FS, kind Kind) bool {
	r := newReader(root)
	name := "proc/sys/kernel/kexec_load_limit_panic"
	if kind == Boot {
		name = "proc/sys/kernel/kexec_load_limit_reboot"
	}
	limit := r.number(name)
	return len(r.errs) == 0 && (limit == nil || *limit == Unlimited)
}
