package storage

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/stack"
)

// ErrMountinfo means that a table of mounts is not in the kernel's form.
var ErrMountinfo = errors.New("bad mountinfo")

// Bounds of what ParseMountinfo reads. A machine with many containers has some
// thousands of mounts; an overlay's line may have hundreds of layers.
const (
	maxMounts    = 100_000
	maxMountLine = 1 << 20 // bytes
)

// Mount is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5); kernel:
// fs/proc_namespace.c, show_mountinfo).
type Mount struct {
	ID, Parent int
	Dev        string // "MAJOR:MINOR" of the superblock; a number of its own for btrfs
	Root       string // the directory of the filesystem that is mounted
	Point      string // where it is mounted
	Options    string // of this mount
	FSType     string
	Source     string // what mount(2) was told; a device, or any word
	Super      string // options of the filesystem
}

// Mounts is a table of mounts, in the kernel's order.
type Mounts []Mount

// ParseMountinfo reads a table of mounts. Every error wraps [ErrMountinfo] or is
// the reader's.
func ParseMountinfo(r io.Reader) (Mounts, error) {
	var mounts Mounts
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxMountLine)
	for s.Scan() {
		if len(mounts) == maxMounts {
			return nil, fmt.Errorf("%w: more than %d mounts", ErrMountinfo, maxMounts)
		}
		m, err := parseMount(s.Text())
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrMountinfo, len(mounts)+1, err)
		}
		mounts = append(mounts, m)
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: line %d has more than %d bytes", ErrMountinfo, len(mounts)+1, maxMountLine)
	} else if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	return mounts, nil
}

func parseMount(line string) (Mount, error) {
	// Optional fields, none or more, end with a hyphen.
	head, tail, found := strings.Cut(line, " - ")
	before, after := strings.Split(head, " "), strings.SplitN(tail, " ", 3)
	if !found || len(before) < 6 || len(after) < 3 {
		return Mount{}, fmt.Errorf("%q has too few fields", line)
	}
	var m Mount
	var err error
	if m.ID, err = strconv.Atoi(before[0]); err != nil {
		return m, fmt.Errorf("mount ID %q is no number", before[0])
	}
	if m.Parent, err = strconv.Atoi(before[1]); err != nil {
		return m, fmt.Errorf("parent ID %q is no number", before[1])
	}
	if !stack.IsNumber(before[2]) {
		return m, fmt.Errorf("device %q is not MAJOR:MINOR", before[2])
	}
	m.Dev, m.Root, m.Point, m.Options = before[2], unescapeOctal(before[3]), unescapeOctal(before[4]), before[5]
	// An empty source is an empty field.
	m.FSType, m.Source, m.Super = unescapeOctal(after[0]), unescapeOctal(after[1]), after[2]
	if !path.IsAbs(m.Point) || path.Clean(m.Point) != m.Point {
		return m, fmt.Errorf("mount point %q is not a plain absolute path", m.Point)
	}
	if m.FSType == "" {
		return m, errors.New("the type is empty")
	}
	return m, nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// unescapeOctal decodes the \ooo that the kernel writes for blanks, tabs, line
// ends, backslashes and '#' (fs/seq_file.c, mangle_path).
func unescapeOctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && len(s) >= i+4 {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// place is a directory of a mount, on which another may lie.
type place struct {
	mount int // ID
	point string
}

// At returns the mount that the kernel reaches by an absolute path without
// links: from the root downwards, at each directory the mount on it, and what
// is mounted over that (fs/namei.c, traverse_mounts). A mount hidden by a later
// one is not taken. It reports false when the table lacks the root, as in a
// chroot.
func (m Mounts) At(name string) (Mount, bool) {
	mounts, on := make(map[int]Mount, len(m)), make(map[place]Mount, len(m))
	for _, c := range m {
		mounts[c.ID] = c
		on[place{c.Parent, c.Point}] = c // the last one wins
	}
	at, found := Mount{}, false
	for _, c := range m {
		// The root is the mount at / that no other mount at / lies under.
		if below, ok := mounts[c.Parent]; c.Point == "/" && (!ok || below.Point != "/" || below.ID == c.ID) {
			at, found = c, true
		}
	}
	if !found {
		return Mount{}, false
	}
	name = path.Clean("/" + name)
	for i := 1; i <= len(name); i++ {
		if i > 1 && i < len(name) && name[i] != '/' {
			continue
		}
		seen := map[int]bool{at.ID: true}
		for next, ok := on[place{at.ID, name[:i]}]; ok && !seen[next.ID]; next, ok = on[place{at.ID, name[:i]}] {
			at = next
			seen[at.ID] = true
		}
	}
	return at, true
}

// within is the path inside of the filesystem of an absolute path that lies in
// this mount.
func (m Mount) within(name string) string {
	return path.Join("/", m.Root, strings.TrimPrefix(path.Clean(name), strings.TrimSuffix(m.Point, "/")))
}

// subvolume is the path of a btrfs filesystem's mounted subvolume from the top
// level, and its number. The options end with ",subvolid=N,subvol=PATH"
// (fs/btrfs/super.c, btrfs_show_options), in which a comma is not escaped.
func (m Mount) subvolume() (name, id string, ok bool) {
	head, name, found := strings.Cut(m.Super, ",subvol=")
	_, id, numbered := strings.Cut(head, ",subvolid=")
	name = unescapeOctal(name)
	return name, id, found && numbered && isNumber(id) && path.IsAbs(name)
}
