package storage

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/stack"
)

// Maps reads the tables of device mapper, by the names of maps. [stack.Mapper] can do more.
type Maps interface {
	Table(name string) ([]stack.Row, error)
	Status(name string) ([]stack.Row, error)
}

// Options are how the storage of a machine is read.
type Options struct {
	// Root is "/", or a tree with proc, sys and dev, in which image files stand for devices.
	Root string
	// Maps opens device mapper when the first map is met, which needs root. It is closed after use if it has a
	// method Close. Default: the kernel's, for the root "/".
	Maps func() (Maps, error)
	// Keyring finds keys of type user. Default: the kernel's.
	Keyring Keyring
	// Logons are the keys of type logon. Default: the kernel's.
	Logons Logons
	// Network is how the kernel is asked about its network. Default: the running kernel, for the root "/".
	Network func() (network.Viewer, error)
	// Lookup finds the addresses of a host. Default: as the system does.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Machine is the running machine's storage.
type Machine struct {
	sys    capture.Files
	finder *blkid.Finder
	opt    Options
}

// NewMachine returns the machine whose root is a directory: "/", or a tree with
// proc, sys and dev, in which image files stand for devices.
func NewMachine(root string) *Machine { return New(Options{Root: root}) }

// New returns the machine that options describe.
func New(opt Options) *Machine {
	var sys capture.Files = capture.NewSystem()
	if opt.Root != "/" {
		sys = &tree{Files: sys, root: opt.Root}
	}
	if opt.Maps == nil {
		opt.Maps = func() (Maps, error) { return openMaps(opt.Root) }
	}
	if opt.Keyring == nil {
		opt.Keyring = userKey
	}
	if opt.Logons == nil {
		opt.Logons = kernelLogons{}
	}
	if opt.Network == nil {
		opt.Network = func() (network.Viewer, error) { return openNetwork(opt.Root) }
	}
	return &Machine{sys: sys, finder: capture.NewFinder(sys), opt: opt}
}

// openNetwork gives the network of the running kernel. A tree has none.
func openNetwork(root string) (network.Viewer, error) {
	if root != "/" {
		return nil, fmt.Errorf("the network of %s can't be looked at: only that of the running machine can", root)
	}
	return capture.NewSystem().Network()
}

// Root is the tree that a Machine of that root reads sysfs from.
func Root(root string) fs.FS { return os.DirFS(root) }

// tree is the files of a machine whose root is elsewhere.
type tree struct {
	capture.Files
	root string
}

func (t *tree) FS() fs.FS { return os.DirFS(t.root) }

func (t *tree) Stat(name string) (fs.FileInfo, error) { return os.Stat(filepath.Join(t.root, name)) }

func (t *tree) Space(dir string) (capture.Space, error) {
	return t.Files.Space(filepath.Join(t.root, dir))
}

func (t *tree) OpenFile(name string, flag int, perm fs.FileMode) (capture.File, error) {
	return t.Files.OpenFile(filepath.Join(t.root, name), flag, perm)
}

// Refusal is why a target is refused for good: it can't exist in a capture kernel, or a
// dump would destroy something.
type Refusal struct {
	What    string // with the name as it was given, and the reason
	Instead string // what to do

	err error
}

// Error is the reason.
func (r *Refusal) Error() string { return r.What }

// Unwrap is what failed, if something did.
func (r *Refusal) Unwrap() error { return r.err }

func refuse(instead, format string, args ...any) error {
	return &Refusal{What: fmt.Sprintf(format, args...), Instead: instead}
}
