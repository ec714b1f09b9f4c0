package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// ErrNoDevice means that a target's device did not appear in time.
var ErrNoDevice = errors.New("device did not appear")

// Polling for a device begins fast, since most are there within a few
// milliseconds, and slows down.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
	// settleTime is how long to wait for a second device of the same name.
	settleTime = 250 * time.Millisecond
	// probeTimeout bounds the reads from one device: a broken disk must not
	// keep the others from being found.
	probeTimeout = 10 * time.Second
)

// deviceFinder waits for devices.
type deviceFinder struct {
	sys Files
	// stuck are devices that didn't answer; they aren't asked again.
	stuck map[string]bool
	// touch says that waiting is alive.
	touch func()
}

// wait polls until the device is there and answers, or until the timeout.
func (f *deviceFinder) wait(ctx context.Context, ref blkid.Ref, timeout time.Duration) (*blkid.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	pause, why := firstPoll, error(nil)
	var found *blkid.Device
	for {
		d, err := f.find(ctx, ref)
		f.touch()
		switch {
		case err == nil && (ref.Key == "" || found != nil):
			return d, nil
		case err == nil:
			// What bears the same name may come a moment later.
			found, pause = d, settleTime
		case ref.Key == "" && errors.Is(err, blkid.ErrMember):
			return nil, err // waiting makes nothing else of it
		default:
			found = nil
		}
		if ctx.Err() == nil || why == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			if found != nil {
				return found, nil
			}
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fmt.Errorf("%s: %w within %v: %w", ref, ErrNoDevice, timeout, why)
			}
			return nil, fmt.Errorf("%s: %w", ref, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPoll)
	}
}

// find looks once.
func (f *deviceFinder) find(ctx context.Context, ref blkid.Ref) (*blkid.Device, error) {
	return f.finder().Find(ctx, ref)
}

func (f *deviceFinder) finder() *blkid.Finder {
	return &blkid.Finder{Root: f.sys.FS(), Probe: f.probe}
}

// probe opens a device or image file and looks what it holds.
func (f *deviceFinder) probe(ctx context.Context, name string) (blkid.Contents, error) {
	if f.stuck[name] {
		return blkid.Contents{}, fmt.Errorf("%s doesn't answer", name)
	}
	c, err := within(ctx, probeTimeout, "probe "+name, func() (c blkid.Contents, err error) {
		err = f.read(name, func(dev File, size int64) (err error) {
			c, err = blkid.Probe(dev, size)
			return err
		})
		return c, err
	})
	if errors.Is(err, ErrStalled) {
		if f.stuck == nil {
			f.stuck = make(map[string]bool)
		}
		f.stuck[name] = true
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, sysfs.Rooted(err))
	}
	return c, nil
}

// read opens a device for do.
func (f *deviceFinder) read(name string, do func(dev File, size int64) error) error {
	info, err := f.sys.Stat(name)
	if err != nil {
		return err
	}
	if m := info.Mode(); !m.IsRegular() && m&fs.ModeType != fs.ModeDevice {
		return fmt.Errorf("not a block device (%s)", m)
	}
	dev, err := f.sys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	size, err := dev.Size()
	if err != nil {
		return err
	}
	if size == 0 {
		return errors.New("size is 0")
	}
	return do(dev, size)
}
