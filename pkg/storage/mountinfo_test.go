package storage

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"
)

func TestParseMountinfo(t *testing.T) {
	const line = `36 35 98:0 /a\040b\134c /mnt\011x rw,noatime master:1 propagate_from:2 - ext4 /dev/disk\040one rw,errors=continue`
	want := Mounts{{ID: 36, Parent: 35, Dev: "98:0", Root: `/a b\c`, Point: "/mnt\tx", Options: "rw,noatime", FSType: "ext4", Source: "/dev/disk one", Super: "rw,errors=continue"}}
	if got, err := ParseMountinfo(strings.NewReader(line + "\n")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseMountinfo = %+v, %v; want %+v", got, err, want)
	}
	// An empty source, a root that is no path, an option with blanks.
	for _, line := range []string{"1 0 0:1 / / rw - tmpfs  rw", "1 0 0:4 net:[4026532281] /run/netns/x rw - nsfs nsfs rw", "1 0 0:1 / / rw - overlay overlay rw,lowerdir=/a b"} {
		if got, err := ParseMountinfo(strings.NewReader(line)); err != nil || len(got) != 1 {
			t.Errorf("ParseMountinfo(%q) = %v, %v; want a mount", line, got, err)
		}
	}
	for _, line := range []string{"", "x", "1 0 0:1 / / rw ext4 /dev/sda rw", "x 0 0:1 / / rw - ext4 x rw", "1 x 0:1 / / rw - ext4 x rw", "1 0 0-1 / / rw - ext4 x rw",
		"1 0 0: / / rw - ext4 x rw", "1 0 0:1 / mnt rw - ext4 x rw", "1 0 0:1 / /a/../b rw - ext4 x rw", "1 0 0:1 / / rw - ext4 x", "1 0 0:1 / / rw -  x rw"} {
		if _, err := ParseMountinfo(strings.NewReader(line + "\n")); !errors.Is(err, ErrMountinfo) {
			t.Errorf("ParseMountinfo(%q): %v; want ErrMountinfo", line, err)
		}
	}
	if _, err := ParseMountinfo(strings.NewReader(strings.Repeat("x", maxMountLine+1))); !errors.Is(err, ErrMountinfo) {
		t.Errorf("a line without an end: %v; want ErrMountinfo", err)
	}
}

func TestMountsAt(t *testing.T) {
	mounts, err := ParseMountinfo(strings.NewReader(`1 1 0:2 / / rw - rootfs rootfs rw
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 8:2 / /var rw - xfs /dev/sda2 rw
24 22 8:3 / /var/log rw - xfs /dev/hidden rw
25 23 8:4 / /var/log rw - xfs /dev/log rw
26 25 8:5 / /var/log rw - xfs /dev/over rw
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"/": "/dev/sda1", "/etc": "/dev/sda1", "/variable": "/dev/sda1", "/var": "/dev/sda2", "/var/": "/dev/sda2", "/var/crash/x": "/dev/sda2", "/var/log": "/dev/over", "/var/log/a": "/dev/over", "/var/logs": "/dev/sda2"} {
		if got, ok := mounts.At(name); !ok || got.Source != want {
			t.Errorf("At(%s) = %s, %v; want %s", name, got.Source, ok, want)
		}
	}
	if got, ok := mounts[2:].At("/var"); ok {
		t.Errorf("At without a root = %+v; want none", got)
	}
}

// FuzzMountinfo: what is accepted, written as the kernel would, is read as the
// same; and every path is on a mount that covers it.
func FuzzMountinfo(f *testing.F) {
	f.Add([]byte("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:50 /root /mnt\\040x rw shared:1 - btrfs /dev/vda rw,subvolid=256,subvol=/root\n"), "/mnt x/y")
	f.Add([]byte("1 2 0:1 / / rw - tmpfs  rw\n2 1 0:1 / / rw - tmpfs \\134 rw\n"), "/")
	f.Fuzz(func(t *testing.T, in []byte, name string) {
		mounts, err := ParseMountinfo(bytes.NewReader(in))
		if err != nil {
			if !errors.Is(err, ErrMountinfo) {
				t.Errorf("ParseMountinfo: %v; want ErrMountinfo", err)
			}
			return
		}
		escape := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace
		var out strings.Builder
		for _, m := range mounts {
			fmt.Fprintf(&out, "%d %d %s %s %s %s - %s %s %s\n", m.ID, m.Parent, m.Dev, escape(m.Root), escape(m.Point), m.Options, escape(m.FSType), escape(m.Source), m.Super)
		}
		again, err := ParseMountinfo(strings.NewReader(out.String()))
		if err != nil || !reflect.DeepEqual(again, mounts) && !strings.Contains(string(in), "\r") {
			t.Errorf("%q is read as %+v, %v; want %+v", out.String(), again, err, mounts)
		}
		if at, ok := mounts.At(name); ok && at.Point != "/" && !strings.HasPrefix(cleaned(name)+"/", at.Point+"/") {
			t.Errorf("At(%q) is on %q", name, at.Point)
		}
	})
}

func cleaned(name string) string { return path.Clean("/" + name) }
