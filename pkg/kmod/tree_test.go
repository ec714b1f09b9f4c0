package kmod

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestOpen(t *testing.T) {
	const v = testVersion
	tests := []struct {
		name    string
		files   map[string]string
		wantDir string
		wantErr string
	}{
		{"merged", map[string]string{"usr/lib/modules/" + v + "/kernel/a.ko": "", "lib": "-> usr/lib"}, "usr/lib/modules/" + v, ""},
		{"merged, absolute link", map[string]string{"usr/lib/modules/" + v + "/kernel/a.ko": "", "lib": "-> /usr/lib"}, "usr/lib/modules/" + v, ""},
		{"usr only", map[string]string{"usr/lib/modules/" + v + "/modules.dep": ""}, "usr/lib/modules/" + v, ""},
		{"lib only", map[string]string{"lib/modules/" + v + "/kernel/a.ko": ""}, "lib/modules/" + v, ""},
		{"leftover in lib", map[string]string{"lib/modules/" + v + "/build": "-> /usr/src", "usr/lib/modules/" + v + "/kernel/a.ko": ""}, "usr/lib/modules/" + v, ""},
		{"config only", map[string]string{"usr/lib/modules/" + v + "/config": ""}, "usr/lib/modules/" + v, ""},
		{"other version", map[string]string{"lib/modules/6.1/kernel/a.ko": "", "usr/lib/modules/5.4/x": ""}, "", "kernel 6.12.0-test: no modules of this kernel version; there are 5.4, 6.1"},
		{"nothing", map[string]string{"etc/x": ""}, "", "/lib/modules and /usr/lib/modules are missing or empty"},
		{"bad modules.dep", map[string]string{"lib/modules/" + v + "/modules.dep": "x\n"}, "", "/lib/modules/6.12.0-test/modules.dep: line 1"},
		{"odd modules.builtin", map[string]string{"lib/modules/" + v + "/kernel/a.ko": "", "lib/modules/" + v + "/modules.builtin": "x\n"}, "lib/modules/" + v, ""},
		{"NixOS", map[string]string{"run/booted-system/kernel-modules": "-> /nix/store/x-linux-modules", "nix/store/x-linux-modules/lib/modules/" + v + "/kernel/a.ko": ""}, "nix/store/x-linux-modules/lib/modules/" + v, ""},
		{"Guix", map[string]string{"run/current-system/kernel": "-> /gnu/store/x-linux", "gnu/store/x-linux/lib/modules/" + v + "/modules.dep": ""}, "gnu/store/x-linux/lib/modules/" + v, ""},
		{"hole in modules.dep", map[string]string{"lib/modules/" + v + "/modules.dep": "a.ko: b.ko\n"}, "", "a.ko needs b.ko, which has no line of its own"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Open(onDisk(t, tt.files), v)
			checkErr(t, "Open", err, tt.wantErr)
			if err == nil && got.Dir() != tt.wantDir {
				t.Errorf("Open: Dir() = %s; want %s", got.Dir(), tt.wantDir)
			}
		})
	}
	_, err := Open(fstest.MapFS{}, v)
	if !errors.Is(err, ErrNoModules) {
		t.Errorf("Open(nothing) = %v; want ErrNoModules", err)
	}
	for _, bad := range []string{"", "..", "a/b", "a b", strings.Repeat("x", 65)} {
		_, err := Open(fstest.MapFS{}, bad)
		checkErr(t, "Open("+bad+")", err, "not a kernel release")
	}
}

func TestSearchOrder(t *testing.T) {
	dir := "lib/modules/" + testVersion + "/"
	tree := open(t, onDisk(t, map[string]string{
		dir + "kernel/a.ko": "", dir + "updates/dkms/a.ko.xz": "", dir + "extra/a.ko": "",
		dir + "zz/b.ko": "", dir + "kernel/b.ko": "", dir + "aa/b.ko": "",
		dir + "weak-updates/c-d.ko": "-> /opt/c-d.ko", "opt/c-d.ko": string(x86("c_d", "")),
		dir + "kernel/notes.txt": "", dir + "build": "-> /usr/src/linux", "usr/src/linux/e.ko": "",
	}))
	var got []string
	for _, n := range tree.Names() {
		m, _ := tree.Module(n)
		got = append(got, n+"="+strings.TrimPrefix(m.Path, dir))
	}
	if want := []string{"a=updates/dkms/a.ko.xz", "b=kernel/b.ko", "c_d=weak-updates/c-d.ko"}; !slices.Equal(got, want) {
		t.Errorf("modules %q; want %q", got, want)
	}
	m, _ := tree.Module("c-d")
	if mi, err := tree.Modinfo(m); err != nil || mi.Name != "c_d" {
		t.Errorf("Modinfo of a link = %+v, %v", mi, err)
	}
}

func TestVersions(t *testing.T) {
	root := onDisk(t, map[string]string{"lib/modules/6.1/x": "", "usr/lib/modules/6.12/x": "", "usr/lib/modules/6.1/x": "", "lib/modules/file": ""})
	got, err := Versions(root)
	if want := []string{"6.1", "6.12"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Versions = %v, %v; want %v", got, err, want)
	}
	if got, err := Versions(fstest.MapFS{}); err != nil || len(got) != 0 {
		t.Errorf("Versions(nothing) = %v, %v; want none", got, err)
	}
}

func TestLookup(t *testing.T) {
	tree := open(t, packed(t))
	for _, tt := range []struct {
		name, want string
		builtin    bool
	}{
		{"nvme-core", "nvme_core", false},
		{"virtio_pci", "", true},
		{"pci:v00001AF4d00001001sv1sd2bc01sc08i02", "nvme", true},
		{"crc32c", "crc32c_generic", false},
		{"crypto_crc32c", "crc32c_generic hw", false},
		{"nothing", "", false},
	} {
		m, err := tree.Lookup(tt.name)
		if err != nil || strings.Join(m.Modules, " ") != tt.want || m.Builtin != tt.builtin {
			t.Errorf("Lookup(%s) = %+v, %v; want %s, %v", tt.name, m, err, tt.want, tt.builtin)
		}
	}
}

func TestWeak(t *testing.T) {
	dir := "lib/modules/" + testVersion + "/"
	image := string(x86("a", "", "weakdep=b c"))
	for _, files := range []map[string]string{
		{dir + "kernel/a.ko": image},
		{dir + "a.ko": "not read", dir + "modules.dep": "a.ko:\n", dir + "modules.weakdep": "weakdep a b c\n"},
	} {
		tree := open(t, onDisk(t, files))
		m, _ := tree.Module("a")
		if got, err := tree.Weak(m); err != nil || !slices.Equal(got, []string{"b", "c"}) {
			t.Errorf("Weak(a) = %v, %v; want b c", got, err)
		}
	}
}

func TestNear(t *testing.T) {
	all := []string{"ext4", "nvme", "nvme_core", "nvme_tcp", "virtio_blk", "virtio_net"}
	for _, tt := range []struct{ name, want string }{
		{"virtio_blc", "virtio_blk virtio_net"}, {"nvm", "nvme"}, {"ext3", "ext4"}, {"zfs", ""}, {"virtio", "virtio_blk virtio_net"}, {"", ""},
	} {
		if got := strings.Join(near(tt.name, all), " "); got != tt.want {
			t.Errorf("near(%s) = %s; want %s", tt.name, got, tt.want)
		}
	}
}
