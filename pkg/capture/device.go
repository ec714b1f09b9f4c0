package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// ErrNoDevice means that a target's device did not appear in time.
var ErrNoDevice = errors.New("device did not appear")

// Polling for a device begins fast, since most are there within a few
// milliseconds, and slows down.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
	// probeTimeout bounds the reads from one device: a broken disk must not
	// keep the others from being found.
	probeTimeout = 10 * time.Second
)

// deviceRef is a device as a configuration names it.
type deviceRef struct {
	key   string // "", "UUID", "LABEL", "PARTUUID"
	value string // for key "" the path
}

func (d deviceRef) String() string {
	if d.key == "" {
		return d.value
	}
	return d.key + "=" + d.value
}

// udevLinks are the directories whose names say the same as a key.
var udevLinks = []struct{ dir, key string }{
	{"/dev/disk/by-uuid/", "UUID"}, {"/dev/disk/by-label/", "LABEL"}, {"/dev/disk/by-partuuid/", "PARTUUID"},
}

func parseDevice(s string) (deviceRef, error) {
	for _, l := range udevLinks {
		if name, ok := strings.CutPrefix(s, l.dir); ok {
			s = l.key + "=" + unescapeUdev(name)
		}
	}
	if key, value, ok := strings.Cut(s, "="); ok && !strings.Contains(key, "/") {
		value = strings.Trim(value, `"`)
		switch {
		case key != "UUID" && key != "LABEL" && key != "PARTUUID":
			return deviceRef{}, fmt.Errorf("device %q: %s= is not one of UUID=, LABEL=, PARTUUID=", s, key)
		case value == "":
			return deviceRef{}, fmt.Errorf("device %q: empty", s)
		}
		return deviceRef{key, value}, nil
	}
	if !path.IsAbs(s) || path.Clean(s) == "/" {
		return deviceRef{}, fmt.Errorf("device %q is neither an absolute path nor UUID=, LABEL= or PARTUUID=", s)
	}
	return deviceRef{"", path.Clean(s)}, nil
}

// unescapeUdev decodes the \xHH that udev writes for special characters.
func unescapeUdev(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && len(s) >= i+4 {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil && c != 0 {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// deviceFinder looks for devices in /sys/class/block and what they hold.
type deviceFinder struct {
	sys System
	// stuck are devices that didn't answer; they aren't asked again.
	stuck map[string]bool
	// touch says that waiting is alive.
	touch func()
}

// wait polls until the device is there and answers, or until the timeout.
// It returns the path of its node and the signature that was asked for by UUID
// or label.
func (f *deviceFinder) wait(ctx context.Context, ref deviceRef, timeout time.Duration) (string, []Signature, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	pause, why := firstPoll, error(nil)
	for {
		name, found, err := f.find(ctx, ref)
		f.touch()
		if err == nil {
			return name, found, nil
		}
		if ctx.Err() == nil || why == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return "", nil, fmt.Errorf("%s: %w within %v: %w", ref, ErrNoDevice, timeout, why)
			}
			return "", nil, fmt.Errorf("%s: %w", ref, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPoll)
	}
}

// find looks once.
func (f *deviceFinder) find(ctx context.Context, ref deviceRef) (string, []Signature, error) {
	if ref.key == "" {
		found, err := f.probe(ctx, ref.value)
		return ref.value, found, err
	}
	entries, err := fs.ReadDir(f.sys.FS(), "sys/class/block")
	if err != nil {
		return "", nil, fmt.Errorf("list /sys/class/block: %w", rooted(err))
	}
	seen := make([]string, 0, len(entries))
	var failed error
	for _, e := range entries {
		if size, err := f.number("sys/class/block/" + e.Name() + "/size"); err == nil && size == 0 {
			continue // an empty slot, such as an unused loop device
		}
		node := f.node(e.Name())
		if ref.key == "PARTUUID" {
			if id := f.partUUID(ctx, e.Name()); id != "" && strings.EqualFold(id, ref.value) {
				found, err := f.probe(ctx, node)
				return node, found, err
			}
		} else if found, err := f.probe(ctx, node); err != nil {
			failed = err
		} else {
			for _, s := range found {
				if ref.key == "UUID" && s.UUID != "" && strings.EqualFold(s.UUID, ref.value) || ref.key == "LABEL" && s.Label == ref.value {
					return node, []Signature{s}, nil
				}
			}
		}
		seen = append(seen, e.Name())
	}
	if len(seen) == 0 {
		return "", nil, errors.New("there are no block devices; is the disk's driver loaded?")
	}
	err = fmt.Errorf("not among %s", strings.Join(seen[:min(len(seen), 20)], ", "))
	if failed != nil {
		err = fmt.Errorf("%w (%w)", err, failed)
	}
	return "", nil, err
}

// node is the path of a block device's node; a '!' in sysfs is a '/' in /dev
// (kernel: drivers/base/core.c, device_get_devnode).
func (f *deviceFinder) node(name string) string {
	return "/dev/" + strings.ReplaceAll(name, "!", "/")
}

// probe opens a device or image file and looks what it holds.
func (f *deviceFinder) probe(ctx context.Context, name string) ([]Signature, error) {
	if f.stuck[name] {
		return nil, fmt.Errorf("%s doesn't answer", name)
	}
	found, err := within(ctx, probeTimeout, "probe "+name, func() ([]Signature, error) {
		var found []Signature
		err := f.read(name, func(dev File, size int64) (err error) {
			found, err = Probe(dev, size)
			return err
		})
		return found, err
	})
	if errors.Is(err, ErrStalled) {
		if f.stuck == nil {
			f.stuck = make(map[string]bool)
		}
		f.stuck[name] = true
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, rooted(err))
	}
	return found, nil
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

// partUUID is the PARTUUID of a block device by its sysfs name, "" for none:
// what the kernel says (since 6.9 in uevent), else from the partition table.
func (f *deviceFinder) partUUID(ctx context.Context, name string) string {
	if uevent, err := fs.ReadFile(f.sys.FS(), "sys/class/block/"+name+"/uevent"); err == nil {
		for line := range strings.Lines(string(uevent)) {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "PARTUUID="); ok {
				return id
			}
		}
	}
	number, err := f.number("sys/class/block/" + name + "/partition")
	if err != nil {
		return ""
	}
	// The disk is the device that has the partition's directory in its own.
	disks, _ := fs.Glob(f.sys.FS(), "sys/class/block/*/"+name+"/partition")
	if len(disks) == 0 {
		return ""
	}
	disk := path.Base(path.Dir(path.Dir(disks[0])))
	blockSize, err := f.number("sys/class/block/" + disk + "/queue/logical_block_size")
	if err != nil {
		blockSize = 512
	}
	if f.stuck[f.node(disk)] {
		return ""
	}
	id, err := within(ctx, probeTimeout, "read the partition table of "+disk, func() (string, error) {
		var id string
		err := f.read(f.node(disk), func(dev File, _ int64) (err error) {
			id, err = partitionUUID(dev, int64(blockSize), uint32(number))
			return err
		})
		return id, err
	})
	if err != nil {
		return ""
	}
	return id
}

func (f *deviceFinder) number(name string) (uint64, error) {
	b, err := fs.ReadFile(f.sys.FS(), name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
