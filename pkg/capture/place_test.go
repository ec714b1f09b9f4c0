package capture

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// TestFindPlace: only the initial PID namespace of a capture kernel makes an init.
func TestFindPlace(t *testing.T) {
	proc := func(namespace string, vmcore bool) fs.FS {
		m := fstest.MapFS{"self": {Mode: fs.ModeDir | 0o755}}
		if namespace != "" {
			m["self/ns/pid"] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(namespace)}
		}
		if vmcore {
			m["vmcore"] = &fstest.MapFile{}
		}
		return m
	}
	const container, initial = "pid:[4026532201]", "pid:[4026531836]"
	tests := []struct {
		name   string
		proc   fs.FS
		root   int64
		config bool
		want   Place
	}{
		{"capture kernel", proc(initial, true), unix.RAMFS_MAGIC, true, CaptureKernel},
		{"capture kernel on a disk", proc(initial, true), unix.EXT4_SUPER_MAGIC, false, CaptureKernel},
		{"capture initramfs without a crash", proc(initial, false), unix.TMPFS_MAGIC, true, CaptureKernel},
		{"no namespaces in the kernel", proc("", true), unix.RAMFS_MAGIC, true, CaptureKernel},
		{"no procfs yet", nil, unix.RAMFS_MAGIC, true, CaptureKernel},
		{"first kernel", proc(initial, false), unix.EXT4_SUPER_MAGIC, false, OtherKernel},
		{"first kernel with a configuration", proc(initial, false), unix.EXT4_SUPER_MAGIC, true, OtherKernel},
		{"another initramfs", proc(initial, false), unix.RAMFS_MAGIC, false, OtherKernel},
		{"container", proc(container, false), unix.OVERLAYFS_SUPER_MAGIC, false, Elsewhere},
		{"container in a capture kernel", proc(container, true), unix.TMPFS_MAGIC, true, Elsewhere},
		{"container without /proc", nil, unix.OVERLAYFS_SUPER_MAGIC, true, Elsewhere},
		{"container in memory without /proc", nil, unix.TMPFS_MAGIC, false, Elsewhere},
	}
	for _, tt := range tests {
		root := fstest.MapFS{}
		if tt.config {
			root["etc/gokexec/capture.json"] = &fstest.MapFile{}
		}
		if got := findPlace(tt.proc, root, tt.root); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}
