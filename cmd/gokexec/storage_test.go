package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/config"
	"github.com/gokexec/gokexec/pkg/stack"
	"github.com/gokexec/gokexec/pkg/storage"
)

// oneMap is device mapper with one map.
type oneMap struct {
	name string
	row  stack.Row
}

func (m oneMap) Table(name string) ([]stack.Row, error) {
	if name != m.name {
		return nil, syscall.ENXIO
	}
	return []stack.Row{m.row}, nil
}

func (m oneMap) Status(name string) ([]stack.Row, error) { return m.Table(name) }

// volume makes a tree whose /data is an ext4 on the map vg-data of the disk sdb.
func volume(t *testing.T, root, target, args string) func() (storage.Maps, error) {
	t.Helper()
	file := func(name, content string) {
		t.Helper()
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	device := func(place, name, number string, plant func([]byte)) {
		image := make([]byte, 1<<20)
		plant(image)
		file("dev/"+name, string(image))
		dir := "sys/devices/" + place + name
		file(dir+"/size", "2048\n")
		file(dir+"/dev", number+"\n")
		link("sys/class/block/"+name, "../../../"+dir)
		link("sys/dev/block/"+number, "../../../"+dir)
	}
	device("pci0000:00/0000:00:05.0/host0/target0:0:0/0:0:0:0/block/", "sdb", "8:16", func(b []byte) { copy(b[512+24:], "LVM2 001"+strings.Repeat("p", 32)) })
	file("sys/class/block/sdb/serial", "disk-b")
	device("virtual/block/", "dm-0", "253:0", disktest.Ext4(disktest.UUID, ""))
	file("sys/class/block/dm-0/dm/name", "vg-data\n")
	file("sys/class/block/dm-0/dm/uuid", "LVM-x\n")
	file("proc/self/mountinfo", "22 1 8:99 / / rw - ext4 /dev/sda1 rw\n30 22 253:0 / /data rw - ext4 /dev/mapper/vg-data rw\n")
	file("data/crash/x", "")
	return func() (storage.Maps, error) {
		return oneMap{"vg-data", stack.Row{Length: 2048, Type: target, Args: args}}, nil
	}
}

func TestStorage(t *testing.T) {
	const key = "00112233445566778899aabbccddeeff"
	for _, tt := range []struct {
		target, args string
		code         int
		want         string
	}{
		{"linear", "8:16 2048", exitOK, `dir:/data/crash
mount /data: ext4, /dev/mapper/vg-data; the target is its /crash
holds ext4 01234567-89ab-cdef-0123-456789abcdef
  linear dm-0 vg-data, 1.0 MiB, LVM-x: made again with its table
    disk sdb, 1.0 MiB, SERIAL=disk-b, holds LVM2_member pppppp-pppp-pppp-pppp-pppp-pppp-pppppp: found by SERIAL, if it holds that
It can be there in a capture kernel, as fs:UUID=01234567-89ab-cdef-0123-456789abcdef:/crash
`},
		{"crypt", "aes-xts-plain64 " + key + " 0 8:16 4096", exitOK, "  crypt dm-0 vg-data, 1.0 MiB, LVM-x: made again with its table and its key, if [Capture] DiskKeys=kernel or memory "},
	} {
		root := t.TempDir()
		var out, errOut strings.Builder
		e := &env{stdout: &out, stderr: &errOut, sysroot: root, maps: volume(t, root, tt.target, tt.args)}
		if code := run(t.Context(), e, []string{"storage", "/data/crash"}); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: exit code %d\n%s%s\nwant %d\n%s", tt.target, code, out.String(), errOut.String(), tt.code, tt.want)
		}
		out.Reset()
		if code := run(t.Context(), e, []string{"storage", "--json", "/data/crash"}); code != tt.code || !strings.Contains(out.String(), `"identity": "SERIAL=disk-b"`) || strings.Contains(out.String(), key) {
			t.Errorf("%s: exit code %d\n%s%s", tt.target, code, out.String(), errOut.String())
		}
	}
}

// The key of an encrypted volume goes into no file, and into no initramfs without leave.
func TestDiskKeys(t *testing.T) {
	const key = "00112233445566778899aabbccddeeff"
	for _, tt := range []struct{ option, want string }{
		{"no", "DiskKeys=memory"}, {"memory", "must not be written to a file"}, {"yes", `want no, kernel or memory`}, {"kernel", "CONFIG_CRASH_DM_CRYPT"},
	} {
		root := t.TempDir()
		var out, errOut strings.Builder
		e := &env{stdout: &out, stderr: &errOut, sysroot: root, maps: volume(t, root, "crypt", "aes-xts-plain64 "+key+" 0 8:16 4096")}
		release(t, root, "6.12.0-test", "CONFIG_KEXEC_FILE=y\n")
		file := filepath.Join(root, "initrd")
		code := run(t.Context(), e, []string{"initramfs", "--disk-keys", tt.option, "--kernel", "6.12.0-test", "--init", "/bin/true", "-o", file, "/data/crash"})
		said := out.String() + errOut.String()
		if code == exitOK || !strings.Contains(said, tt.want) || strings.Contains(said, key) {
			t.Errorf("--disk-keys %s: exit code %d, %s; want %q", tt.option, code, said, tt.want)
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("--disk-keys %s: the file is there: %v", tt.option, err)
		}
	}
}

// release makes a kernel of a tree the running one, with that configuration.
func release(t *testing.T, root, name, config string) {
	t.Helper()
	for file, content := range map[string]string{"proc/sys/kernel/osrelease": name + "\n", "boot/config-" + name: config} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// noted are keys that were added.
type noted map[string][]byte

func (n noted) Find(string) (int, error) { return 0, syscall.ENOKEY }

func (n noted) Add(description string, key []byte) error {
	n[description] = key
	return nil
}

// With --disk-keys kernel the settings name the key, and nothing but the kernel has it.
func TestHandOverKeys(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("for x86_64 only")
	}
	const key = "00112233445566778899aabbccddeeff"
	root := t.TempDir()
	var errOut strings.Builder
	keys := noted{}
	e := &env{stderr: &errOut, sysroot: root, maps: volume(t, root, "crypt", "aes-xts-plain64 "+key+" 0 8:16 4096"), logons: keys}
	release(t, root, "7.3.4", "CONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DM_CRYPT=y\n")
	o := &initramfsOptions{diskKeys: diskKeysKernel, release: "7.3.4"}
	settings := capture.Config{Targets: []capture.Target{{Type: capture.TargetDirectory, Path: "/data/crash"}}}
	targets, err := o.resolveTargets(t.Context(), e, &settings)
	if err != nil {
		t.Fatal(err)
	}
	before := targets[0].Target.Stack.Digest()
	files, err := o.takeKeys(e, targets, &settings)
	if err != nil || files != nil {
		t.Fatalf("takeKeys = %v, %v; want no files", files, err)
	}
	if got := settings.Targets[0].Stack.RestoredKeys(); len(got) != 1 || got[0] != "gokexec:vg-data" || fmt.Sprintf("%x", keys["gokexec:vg-data"]) != key {
		t.Errorf("named are %q, added %v; want the one", got, len(keys))
	}
	text, err := json.Marshal(settings)
	if err != nil || strings.Contains(string(text)+errOut.String(), key) {
		t.Errorf("the key is in %s%s, %v", text, errOut.String(), err)
	}
	if targets[0].Target.Stack.Digest() != before {
		t.Error("what the target lies on seems to be another")
	}
	if got := e.diskKeysAdvice("7.3.4"); !strings.Contains(got, "DiskKeys=kernel") {
		t.Errorf("advice %q; want what this kernel has", got)
	}
	// What is advised on a kernel without it, and where the kernel keeps the key to itself.
	if got := e.diskKeysAdvice("6.12.1"); !strings.Contains(got, "DiskKeys=memory") {
		t.Errorf("advice %q; want what this kernel has", got)
	}
	e.maps = func() (storage.Maps, error) {
		return oneMap{"vg-data", stack.Row{Length: 2048, Type: "crypt", Args: "aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 8:16 4096"}}, nil
	}
	if targets, err = o.resolveTargets(t.Context(), e, &settings); err != nil {
		t.Fatal(err)
	}
	_, err = o.takeKeys(e, targets, &settings)
	if err == nil || !strings.Contains(advice.Hint(err), "cryptsetup open --test-passphrase /dev/sdb --link-vk-to-keyring '@u::%logon:gokexec:vg-data'") {
		t.Errorf("takeKeys = %v (%s); want how to hand the key over", err, advice.Hint(err))
	}
}

// setup says what arm will not take.
func TestSetupNotesTargets(t *testing.T) {
	for _, tt := range []struct{ target, args, keys, want string }{
		{"linear", "8:16 2048", "", ""},
		{"crypt", "aes-xts-plain64 00112233445566778899aabbccddeeff 0 8:16 4096", "", "DiskKeys=memory"},
		{"crypt", "aes-xts-plain64 00112233445566778899aabbccddeeff 0 8:16 4096", "memory", ""},
		{"crypt", "aes-xts-plain64 00112233445566778899aabbccddeeff 0 8:16 4096", "kernel", ""},
		{"writecache", "s 8:16 8:16 4096 0", "", "what was written last may be on the cache device only"},
	} {
		root := t.TempDir()
		s := &setup{env: &env{sysroot: root, maps: volume(t, root, tt.target, tt.args)}}
		settings := []config.Setting{{Section: "Capture", Key: "Target", Value: "/data/crash"}}
		if tt.keys != "" {
			settings = append(settings, config.Setting{Section: "Capture", Key: "DiskKeys", Value: tt.keys})
		}
		c, err := configureKnown(settings)
		if err != nil {
			t.Fatal(err)
		}
		s.noteTargets(t.Context(), c)
		if notes := strings.Join(s.report.Notes, "\n"); !strings.Contains(notes, tt.want) || (tt.want == "") != (notes == "") {
			t.Errorf("%s, DiskKeys=%s: notes %q; want %q", tt.target, tt.keys, notes, tt.want)
		}
	}
}
