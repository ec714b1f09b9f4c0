package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/stack"
)

// stackSystem is a System on which a stack is assembled.
type stackSystem struct {
	System
	finder *deviceFinder
}

// Write writes a file of /proc or /sys.
func (s *stackSystem) Write(name, text string) error { return writeSetting(s.System, name, text) }

// Open opens a block device for reading.
func (s *stackSystem) Open(name string) (stack.Device, error) {
	f, err := s.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Find finds all devices of a name.
func (s *stackSystem) Find(ctx context.Context, ref blkid.Ref) ([]*blkid.Device, error) {
	return s.finder.finder().All(ctx, ref)
}

// KeyDir is where the initramfs has the keys of encrypted volumes, each in a file of its own, as they are.
const KeyDir = "/etc/gokexec/keys"

// Key reads a key that the initramfs has.
func (s *stackSystem) Key(name string) ([]byte, error) {
	return sysfs.ReadFile(s.FS(), path.Join(KeyDir, name)[1:], stack.MaxKey)
}

// Node returns the node that the kernel has made (devtmpfs), or makes one of the kernel's name.
func (s *stackSystem) Node(n stack.Number) (string, error) {
	target, err := fs.ReadLink(s.FS(), "sys/dev/block/"+n.String())
	if err != nil {
		return "", fmt.Errorf("block device %s: %w", n, err)
	}
	name := "/dev/" + strings.ReplaceAll(path.Base(target), "!", "/")
	if _, err := s.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	return name, s.Mknod(name, n)
}

// assembler returns that of the run: targets may share layers.
func (r *run) assembler() *stack.Assembler {
	r.assemble.Do(func() {
		sys := &stackSystem{r.sys, &deviceFinder{sys: r.sys, touch: func() {}}}
		r.layers = stack.NewAssembler(sys, r.say)
	})
	return r.layers
}

// stacked assembles what the target's device is made of.
func (o *opening) stacked(ctx context.Context) (*place, error) {
	made, err := o.layers().Assemble(ctx, o.target.Stack, stack.Options{
		Timeout: o.cfg.deviceTimeout(), StartDirtyDegraded: o.cfg.StartDirtyDegraded, Touch: o.touch,
	})
	if err != nil {
		return nil, err
	}
	p := &place{options: made.Options(), room: made.Room, close: made.Close}
	if p.Device, err = o.finder.finder().Device(ctx, made.Node()); err == nil {
		err = o.isTarget(p.Device)
	}
	if err != nil {
		return nil, errors.Join(err, made.Close())
	}
	closing := p.close
	// Detached, it lets go when nothing uses it any more.
	o.standing.set(func() error { return errors.Join(o.sys.Unmount(o.mountPoint), closing()) })
	p.close = func() error {
		o.standing.set(nil)
		return closing()
	}
	return p, nil
}

// leaveTimeout bounds the taking down of what a target that hangs lies on.
const leaveTimeout = 10 * time.Second

// standing is what was set up for the target that is being tried.
type standing struct {
	mu   sync.Mutex
	down func() error // takes it down; nil: there is nothing
}

func (s *standing) set(down func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// takeDown takes down what a target was set up on that was given up, as far as it lets go of it: another may need the
// same disks. What hangs is left.
func (s *standing) takeDown(ctx context.Context, say func(string, ...any), name string) {
	s.mu.Lock()
	down := s.down
	s.down = nil
	s.mu.Unlock()
	if down == nil {
		return
	}
	_, err := within(context.WithoutCancel(ctx), leaveTimeout, "take down what "+name+" lies on", func() (struct{}, error) {
		return struct{}{}, down()
	})
	if err != nil {
		say("%v", err)
	}
}

// isTarget checks that a device that was assembled holds what the target is named by.
func (o *opening) isTarget(d *blkid.Device) error {
	ref, err := blkid.ParseRef(o.target.Device)
	if err != nil {
		return err
	}
	if !ref.Names(d) && (ref.Key == "UUID" || ref.Key == "LABEL") {
		return fmt.Errorf("%s holds %s, not %s", d.Node, &d.Contents, ref)
	}
	o.say("%s is %s", ref, d.Node)
	return nil
}

// roomyFiles are files on a device that has less room than its filesystem says.
type roomyFiles struct {
	Files
	place *place
}

// Space is the least of what filesystem and device have.
func (f roomyFiles) Space(dir string) (Space, error) {
	s, err := f.Files.Space(dir)
	if err == nil {
		s.Available, err = f.place.least(s.Available)
	}
	return s, err
}
