package kmod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Kernel takes modules. [System] is the running one.
type Kernel interface {
	// InitModule is init_module(2) with an unpacked module.
	InitModule(image []byte, params string) error
	// FinitModule is finit_module(2).
	FinitModule(fd int, params string, flags int) error
}

// System returns the running kernel.
func System() Kernel { return system{} }

type system struct{}

func (system) InitModule(image []byte, params string) error {
	return unix.InitModule(image, params)
}

func (system) FinitModule(fd int, params string, flags int) error {
	return unix.FinitModule(fd, params, flags)
}

// Result is the outcome for one module.
type Result struct {
	Entry
	Loaded bool  // false if it was there already
	Err    error // nil, or why it isn't loaded
}

// Load loads the modules of a list into the kernel in the list's order, and
// calls report, if it is not nil, after each. A module that is loaded already
// is no error.
//
// A module that fails does not stop the others, which may be all that is
// needed to save a dump; the error joins those of the modules that are not
// optional. A module's file must fit in memory unless the kernel reads it
// itself: it does so for a plain module in an *os.File, and for a compressed
// one where it has CONFIG_MODULE_DECOMPRESS; all else is unpacked here.
func Load(ctx context.Context, k Kernel, root fs.FS, list *List, report func(Result)) error {
	var failed []error
	for _, e := range list.Entries {
		if err := context.Cause(ctx); err != nil {
			return errors.Join(append(failed, fmt.Errorf("load module %s: %w", e.Name, err))...)
		}
		r := Result{Entry: e}
		err := insert(k, root, e)
		switch {
		case err == nil:
			r.Loaded = true
		case errors.Is(err, unix.EEXIST):
		default:
			r.Err = fmt.Errorf("load module %s: %w", e.Name, err)
			if !e.Optional {
				failed = append(failed, r.Err)
			}
		}
		if report != nil {
			report(r)
		}
	}
	return errors.Join(failed...)
}

func insert(k Kernel, root fs.FS, e Entry) error {
	f, err := openFile(root, e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if file, ok := f.(descriptor); ok {
		if done, err := insertFile(k, file, e.Params); done {
			return err
		}
	}
	b, err := readAll(f, maxModule)
	if err != nil {
		return fmt.Errorf("read /%s: %w", e.Path, err)
	}
	if b, err = Unpack(b); err != nil {
		return fmt.Errorf("/%s: %w", e.Path, err)
	}
	if err := k.InitModule(b, e.Params); err != nil {
		return explain("init_module", err)
	}
	return nil
}

// descriptor is the part of *os.File that finit_module needs.
type descriptor interface {
	io.ReaderAt
	Fd() uintptr
}

// insertFile lets the kernel read the module. It reports false if the module
// has to be unpacked first.
func insertFile(k Kernel, f descriptor, params string) (bool, error) {
	head := make([]byte, 6)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, nil // reading it whole gives the same error, with its context
	}
	flags := 0
	if PackingOf(head[:n]) != Plain {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = k.FinitModule(int(f.Fd()), params, flags)
	if err == nil {
		return true, nil
	}
	// Before 5.17 the flag is EINVAL; without CONFIG_MODULE_DECOMPRESS the
	// answer is EOPNOTSUPP; for another algorithm than the one configured, or
	// a window it finds too large, EINVAL (kernel/module/decompress.c).
	// ENOSYS: a kernel before 3.8 or a seccomp filter.
	if errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	if flags != 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.ENOEXEC) || errors.Is(err, unix.ENOMEM)) {
		return false, nil
	}
	return true, explain("finit_module", err)
}

// cause says what an errno of init_module(2) means (kernel/module/main.c, load_module), where the
// general text misleads; "" elsewhere.
func cause(errno unix.Errno) string {
	switch errno {
	case unix.ENOENT:
		return "a symbol it needs is missing: a module it depends on is not loaded, or it is for another kernel"
	case unix.ENOEXEC:
		return "not a module for this kernel: another version, architecture or a damaged file"
	case unix.EKEYREJECTED:
		return "its signature is not one this kernel accepts"
	case unix.ENOKEY:
		return "its signature's key is not known to this kernel"
	case unix.EPERM:
		return "no CAP_SYS_MODULE, or kernel.modules_disabled is 1"
	case unix.ENODEV:
		return "its device or CPU feature is not in this machine"
	case unix.ENOMEM:
		return "out of memory: crashkernel= is too small"
	}
	return ""
}

func explain(call string, err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("%s: %w", call, err)
	}
	if cause := cause(errno); cause != "" {
		return fmt.Errorf("%s: %s: %w (%s)", call, unix.ErrnoName(errno), err, cause)
	}
	return fmt.Errorf("%s: %s: %w", call, unix.ErrnoName(errno), err)
}
