package vmlab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// As Debian has them: trixie's kernel is one package, 7.x is split.
const packagesText = `Package: linux-image-cloud-amd64
Version: 6.12.107-1
Depends: linux-image-6.12.107+deb13-cloud-amd64 (= 6.12.107-1)

Package: linux-image-6.12.107+deb13-cloud-amd64
Version: 6.12.107-1
Depends: kmod, linux-base (>= 4.12~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool

Package: split
Version: 7.3.4-1~bpo13+1
Depends: linux-base-cloud-amd64 (= 7.3.4-1~bpo13+1), linux-image-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1)

Package: linux-base-cloud-amd64
Version: 7.3.4-1~bpo13+1
Depends: linux-base-7.3.4+deb13-cloud-amd64

Package: linux-base-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-image-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1
Pre-Depends: linux-base
Depends: linux-binary-7.3.4+deb13-cloud-amd64, linux-modules-7.3.4+deb13-cloud-amd64:any (= 7.3.4-1~bpo13+1)

Package: linux-binary-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: linux-modules-7.3.4+deb13-cloud-amd64
Version: 7.3.4-1~bpo13+1

Package: hollow
Version: 1

Package: dangling
Version: 1
Depends: linux-image-9.9.9-amd64
`

func TestResolveKernel(t *testing.T) {
	candidate := func(name string) (map[string]string, error) {
		for _, stanza := range parseStanzas(packagesText) {
			if stanza["package"] == name {
				return stanza, nil
			}
		}
		return nil, fmt.Errorf("no package %s", name)
	}
	const v7 = "7.3.4-1~bpo13+1"
	for _, test := range []struct {
		meta    string
		want    []pkg
		wantErr string
	}{
		{meta: "linux-image-cloud-amd64", want: []pkg{{"linux-image-6.12.107+deb13-cloud-amd64", "6.12.107-1"}}},
		{meta: "split", want: []pkg{
			{"linux-image-7.3.4+deb13-cloud-amd64", v7}, {"linux-base-7.3.4+deb13-cloud-amd64", v7},
			{"linux-binary-7.3.4+deb13-cloud-amd64", v7}, {"linux-modules-7.3.4+deb13-cloud-amd64", v7}}},
		{meta: "hollow", wantErr: "hollow names no kernel package"},
		{meta: "dangling", wantErr: "no package linux-image-9.9.9-amd64"},
	} {
		got, err := resolveKernel(test.meta, candidate)
		if fmt.Sprint(err) != test.wantErr && (err != nil || test.wantErr != "") {
			t.Errorf("resolveKernel(%s) = %v; want %q", test.meta, err, test.wantErr)
		}
		if len(got) > 1 {
			slices.SortFunc(got[1:], func(a, b pkg) int { return strings.Compare(a.name, b.name) })
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("resolveKernel(%s) = %v; want %v", test.meta, got, test.want)
		}
	}
}

func TestFindKernel(t *testing.T) {
	for _, test := range []struct {
		name           string
		files          []string
		image, release string
		modules        bool
		wantErr        bool
	}{
		{name: "boot", files: []string{"boot/vmlinuz-6.1.0-56-amd64", "boot/config-6.1.0-56-amd64", "lib/modules/6.1.0-56-amd64/modules.dep"},
			image: "boot/vmlinuz-6.1.0-56-amd64", release: "6.1.0-56-amd64", modules: true},
		{name: "usr", files: []string{"usr/lib/modules/7.3.4/vmlinuz", "usr/lib/modules/7.3.4/config"},
			image: "usr/lib/modules/7.3.4/vmlinuz", release: "7.3.4", modules: true},
		{name: "no modules", files: []string{"boot/vmlinux-6.12"}, image: "boot/vmlinux-6.12", release: "6.12"},
		{name: "two", files: []string{"boot/vmlinuz-1", "boot/vmlinuz-2"}, wantErr: true},
		{name: "none", files: []string{"boot/config-1"}, wantErr: true},
	} {
		root := t.TempDir()
		for _, f := range test.files {
			if err := replaceFile(filepath.Join(root, f), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := findKernel(root)
		if (err != nil) != test.wantErr {
			t.Errorf("%s: findKernel = %v; want error: %v", test.name, err, test.wantErr)
		}
		if err != nil {
			continue
		}
		if got.Image != filepath.Join(root, test.image) || got.Release != test.release || (got.ModulesRoot != "") != test.modules {
			t.Errorf("%s: findKernel = %+v", test.name, got)
		}
	}
}

func TestCustomKernel(t *testing.T) {
	head := make([]byte, 4096)
	copy(head[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(head[0x20e:], 0x400)
	copy(head[0x600:], "6.6.6-custom (me@here) #1\x00")
	image := filepath.Join(t.TempDir(), "bzImage")
	if err := os.WriteFile(image, head, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOKEXEC_VM_ARCH", "amd64")
	t.Setenv("GOKEXEC_VM_KERNEL", image)
	t.Setenv("GOKEXEC_VM_MATRIX", "")
	k, err := GetKernel(t.Context(), customName)
	if err != nil || k.Release != "6.6.6-custom" || k.Image != image {
		t.Errorf("GetKernel(custom) = %+v, %v", k, err)
	}
	if got := MatrixNames(); !slices.Equal(got, []string{customName}) {
		t.Errorf("MatrixNames() = %v; want custom", got)
	}
	t.Setenv("GOKEXEC_VM_MATRIX", "a,b")
	if got := MatrixNames(); !slices.Equal(got, []string{"a", "b", customName}) {
		t.Errorf("MatrixNames() = %v; want a, b, custom", got)
	}
	t.Setenv("GOKEXEC_VM_KERNEL", image+":"+t.TempDir())
	if _, err := GetKernel(t.Context(), customName); err == nil {
		t.Error("a modules root without modules was taken")
	}
}

func TestModuleOrder(t *testing.T) {
	index, err := parseModuleIndex("kernel/b.ko.xz:\nkernel/a-x.ko.xz: kernel/b.ko.xz\n"+
		"kernel/top.ko.xz: kernel/a-x.ko.xz kernel/b.ko.xz\n", "kernel/fs/ext4/ext4.ko\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		names   []string
		want    []string
		wantErr bool
	}{
		{names: []string{"top", "a_x", "ext4"}, want: []string{"kernel/b.ko.xz", "kernel/a-x.ko.xz", "kernel/top.ko.xz"}},
		{names: []string{"a-x", "b"}, want: []string{"kernel/b.ko.xz", "kernel/a-x.ko.xz"}},
		{names: []string{"missing"}, wantErr: true},
	} {
		got, err := index.order(test.names)
		if !slices.Equal(got, test.want) || (err != nil) != test.wantErr {
			t.Errorf("order(%v) = %v, %v; want %v", test.names, got, err, test.want)
		}
	}
	if _, err := parseModuleIndex("no colon", ""); err == nil {
		t.Error("a line without a colon was taken")
	}
}

func TestUnpackInto(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "tree")
	failing := func(tmp string) error {
		_ = os.WriteFile(filepath.Join(tmp, "half"), nil, 0o644)
		return os.ErrInvalid
	}
	if err := unpackInto(dir, failing); err != os.ErrInvalid {
		t.Errorf("unpackInto = %v; want %v", err, os.ErrInvalid)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(left) != 0 {
		t.Errorf("a failure left %v", left)
	}
	fill := func(tmp string) error { return os.WriteFile(filepath.Join(tmp, "whole"), nil, 0o644) }
	if err := unpackInto(dir, fill); err != nil {
		t.Fatal(err)
	}
	if err := unpackInto(dir, failing); err != nil {
		t.Errorf("unpackInto of what is there = %v; want nil", err)
	}
}

func TestWriteInitramfs(t *testing.T) {
	source := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(source, []byte("from a file"), 0o750); err != nil {
		t.Fatal(err)
	}
	files := []File{{Path: "/a/b/c", Source: source}, {Path: "/init", Data: []byte("old")},
		{Path: "/init", Data: []byte("new"), Mode: 0o755}, {Path: "/l", Link: "a/b"}}
	one, err := Initramfs(files...)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Initramfs(files...)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("not reproducible (%v)", err)
	}
	got := listArchive(t, one)
	want := []string{"dev d755", "dev/console c600", "a d755", "a/b d755", "a/b/c f750 from a file", "init f755 new", "l l777 a/b"}
	if !slices.Equal(got, want) {
		t.Errorf("archive = %q; want %q", got, want)
	}
	for _, bad := range []File{{Path: "/"}, {Path: "/x", Source: "/no/such"}, {Path: "/x", Source: t.TempDir()}} {
		if _, err := Initramfs(bad); err == nil {
			t.Errorf("Initramfs(%+v) took it", bad)
		}
	}
}
