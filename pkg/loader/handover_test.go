package loader

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/stack"
)

// handingOver is a machine whose kernel hands keys over, and has these in root's keyring.
func handingOver(t *testing.T, keys ...string) *bench {
	b := newBench(t)
	for _, release := range []string{"6.12.1", "6.12.9-gokexec"} { // the running one, and that of SmallBzImage
		b.kernel.Write("boot/config-"+release, "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DM_CRYPT=y\n")
	}
	b.kernel.DiskKeys = map[string]bool{}
	for _, k := range keys {
		b.kernel.DiskKeys[k] = true
	}
	return b
}

// captureOf is a capture initramfs whose targets lie on volumes with these keys. Its first file has the name.
func captureOf(t *testing.T, name string, keys ...string) []byte {
	t.Helper()
	cfg := capture.Config{}
	for _, k := range keys {
		word, err := stack.WithCryptKey(stack.Row{Length: 8, Type: "crypt", Args: "aes-xts-plain64 - 0 @0 32768"}, stack.RestoredKey(k, 64))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Targets = append(cfg.Targets, capture.Target{Type: capture.TargetFilesystem, Device: "UUID=01234567-89ab-cdef-0123-456789abcdef", FSType: "ext4", Stack: &stack.Stack{
			Version: stack.Version, Tops: []stack.Top{{Layer: 1}}, Layers: []stack.Layer{
				{Name: "sda", Size: 1 << 20, Disk: &stack.Disk{Ref: "WWID=a"}}, {Name: "dm-0", Size: 4096, Map: &stack.Map{Name: "c", Table: []stack.Row{word}}}}}})
	}
	if len(keys) == 0 {
		cfg.Targets = []capture.Target{{Type: capture.TargetRaw, Device: "/dev/vda"}}
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := capture.ParseConfig(strings.NewReader(string(text))); err != nil || len(got.Targets) == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	return imagetest.CpioWith(initramfs.ConfigPath, text, name)
}

// captureSpec is a load of such an initramfs, in a file of its name.
func (b *bench) captureSpec(name string, keys ...string) *plan.Spec {
	b.t.Helper()
	spec := &plan.Spec{Kind: machine.Crash, Kernel: plan.FromFile(filepath.Join(b.dir, "vmlinuz")), Initrd: plan.FromFile(filepath.Join(b.dir, "capture-"+name))}
	for file, data := range map[string][]byte{"vmlinuz": imagetest.SmallBzImage().Bytes(), "capture-" + name: captureOf(b.t, name, keys...)} {
		if err := os.WriteFile(filepath.Join(b.dir, file), data, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return spec
}

// configured are the keys that the kernel is to hand over.
func (b *bench) configured() string {
	var all []string
	for _, k := range machine.ConfiguredDiskKeys(b.Root) {
		all = append(all, k.Name+"="+k.Description)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

const (
	keyA, keyB  = "gokexec:a", "cryptsetup:7c8b/d0"
	haveA       = "gokexec-gokexec:a=gokexec:a"
	haveB       = "gokexec-cryptsetup:7c8b!d0=cryptsetup:7c8b/d0"
	haveForeign = "theirs=vk"
)

// A load has the kernel know the keys that the capture needs: no more, no less, and those of others stay.
func TestHandOver(t *testing.T) {
	b := handingOver(t, keyA, keyB, "vk")
	load := func(spec *plan.Spec, want string) {
		t.Helper()
		if err := b.loadOnly(t.Context(), spec); err != nil || b.configured() != want {
			t.Fatalf("Load = %v, configured %q; want %q", err, b.configured(), want)
		}
	}
	load(b.captureSpec("a", keyA), haveA)
	state, err := record.Read(b.StateDir)
	if err != nil || !slices.Equal(state.DiskKeys, []string{keyA}) || state.KeyCount != 1 || state.Method != plan.File {
		t.Errorf("recorded %+v, %v; want the key, and kexec_file_load", state, err)
	}
	load(b.captureSpec("ab", keyA, keyB, keyA), haveB+" "+haveA)
	b.kernel.ConfigureDiskKey("theirs", "vk")
	load(b.captureSpec("b", keyB), haveB+" "+haveForeign)
	// What an interrupted load has left is made good.
	b.kernel.Write(machine.DiskKeys+"/"+machine.DiskKeyName(keyA)+"/description", "")
	b.kernel.Write(machine.DiskKeys+"/count", "3\n")
	load(b.captureSpec("a", keyA), haveA+" "+haveForeign)
	load(b.spec(t, "plain"), haveForeign)
	load(b.captureSpec("a", keyA), haveA+" "+haveForeign)
	spec := b.spec(t, "segments")
	spec.Method = plan.Segments
	load(spec, haveForeign)
	load(b.captureSpec("a", keyA), haveA+" "+haveForeign)
	// By another program's kexec_file_load a key that is gone would cost the image.
	if err := b.Unload(t.Context(), machine.Crash, plan.Auto); err != nil || b.configured() != haveForeign {
		t.Errorf("Unload = %v, configured %q; want only %q", err, b.configured(), haveForeign)
	}
}

// What can't work is refused while the old image is there, and leaves no trace.
func TestHandOverRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*bench, *plan.Spec)
		want   string
	}{
		{"no such key", func(b *bench, _ *plan.Spec) { delete(b.kernel.DiskKeys, keyB) }, `the key "` + keyB + `" of an encrypted disk`},
		{"a key of others is gone", func(b *bench, _ *plan.Spec) { b.kernel.ConfigureDiskKey("theirs", "vk") }, machine.DiskKeys + "/theirs"},
		{"kexec_load", func(_ *bench, s *plan.Spec) { s.Method = plan.Segments }, "kexec_load can't hand over"},
		{"a kernel without it", func(b *bench, _ *plan.Spec) {
			b.kernel.Write("boot/config-6.12.1", "CONFIG_KEXEC_FILE=y\n")
			b.kernel.Remove(machine.DiskKeys)
		}, "that takes Linux 6.16 with CONFIG_CRASH_DM_CRYPT"},
		{"a capture kernel without it", func(b *bench, _ *plan.Spec) { b.kernel.Write("boot/config-6.12.9-gokexec", "CONFIG_KEXEC_FILE=y\n") }, "can't take keys"},
		{"a kernel of which that is not known", func(b *bench, _ *plan.Spec) {
			b.kernel.Remove("boot/config-6.12.1")
			b.kernel.Write("proc/sys/kernel/osrelease", "7.3.4\n")
			b.kernel.Remove(machine.DiskKeys)
			b.kernel.NoDiskKeys = true
		}, "can't be told which keys of encrypted disks"},
		{"too long a command line", func(_ *bench, s *plan.Spec) {
			s.CmdlineExact = true
			s.Cmdline = strings.Repeat("x", 2047-30-31)
		}, "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := handingOver(t, keyA, keyB)
			if err := b.loadOnly(t.Context(), b.captureSpec("old", keyA)); err != nil {
				t.Fatal(err)
			}
			spec := b.captureSpec("new", keyA, keyB)
			tt.change(b, spec)
			before, calls := b.configured(), b.kernel.Calls
			err := b.loadOnly(t.Context(), spec)
			if err == nil || !strings.Contains(err.Error(), tt.want) || b.kernel.Calls != calls || initrdName(b.kernel.Crash.Initrd) != "old" || b.configured() != before {
				t.Errorf("Load = %v after %d calls, configured %q; want it refused, and all as it was (%q)", err, b.kernel.Calls-calls, b.configured(), before)
			}
			if advice.Hint(err) == "" {
				t.Error("no hint")
			}
		})
	}
	// One character less.
	b := handingOver(t, keyA)
	spec := b.captureSpec("new", keyA)
	spec.CmdlineExact, spec.Cmdline = true, strings.Repeat("x", 2047-30-31-1)
	if err := b.loadOnly(t.Context(), spec); err != nil {
		t.Errorf("Load = %v; want it loaded", err)
	}
}

// A reload takes the keys from the image that is loaded, since they may be in no keyring any more.
func TestHandOverReload(t *testing.T) {
	b := handingOver(t, keyA)
	if err := b.loadOnly(t.Context(), b.captureSpec("a", keyA)); err != nil {
		t.Fatal(err)
	}
	b.kernel.DiskKeys = nil
	b.kernel.AddMemory(kexectest.DIMM())
	p, _, err := b.reload(t.Context(), ReloadOptions{})
	if err != nil || p.Method != plan.File || b.configured() != haveA || machine.ReusesDiskKeys(b.Root) {
		t.Fatalf("Reload = %v, configured %q; want by kexec_file_load, with the key", err, b.configured())
	}
	if state, err := record.Read(b.StateDir); err != nil || !slices.Equal(state.DiskKeys, []string{keyA}) {
		t.Errorf("recorded %+v, %v", state, err)
	}
	// Somebody has configured one more since: as many can't be copied from the image.
	b.kernel.ConfigureDiskKey("theirs", "vk")
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); !errors.Is(err, unix.ENOKEY) || b.kernel.Crash == nil {
		t.Errorf("Reload = %v; want ENOKEY, and the image kept", err)
	}
	b.kernel.DiskKeys = map[string]bool{keyA: true, "vk": true}
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || machine.ReusesDiskKeys(b.Root) {
		t.Errorf("Reload with the keys = %v", err)
	}
	// The initramfs was made anew, and has another target.
	b.captureSpec("a", keyB)
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); !errors.Is(err, unix.ENOKEY) || b.kernel.Crash == nil || b.configured() != haveA+" "+haveForeign {
		t.Errorf("Reload of a changed one = %v, configured %q; want ENOKEY, and all as it was", err, b.configured())
	}
	b.kernel.DiskKeys[keyB] = true
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || b.configured() != haveB+" "+haveForeign || machine.ReusesDiskKeys(b.Root) {
		t.Errorf("Reload of a changed one = %v, configured %q; want its key", err, b.configured())
	}
}

// What is built again names its keys anew.
func TestHandOverRebuilt(t *testing.T) {
	b := handingOver(t, keyA, keyB)
	keys := []string{keyA}
	build := func(context.Context, *plan.Spec) (*plan.Spec, error) {
		spec := b.captureSpec("x")
		spec.Initrd, spec.Recipe = plan.FromBuilt("built", captureOf(t, "built", keys...)), json.RawMessage("{}")
		return spec, nil
	}
	b.Build = build
	spec, _ := build(t.Context(), nil)
	if err := b.loadOnly(t.Context(), spec); err != nil || b.configured() != haveA {
		t.Fatalf("Load = %v, configured %q", err, b.configured())
	}
	b.kernel.DiskKeys = map[string]bool{keyB: true}
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || b.configured() != haveA {
		t.Errorf("Reload = %v, configured %q; want the key of the image", err, b.configured())
	}
	keys = []string{keyB}
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || b.configured() != haveB || machine.ReusesDiskKeys(b.Root) {
		t.Errorf("Reload = %v, configured %q; want the other key", err, b.configured())
	}
	keys = nil
	if _, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || b.configured() != "" {
		t.Errorf("Reload = %v, configured %q; want none", err, b.configured())
	}
}

// A load that fails late costs neither the old image nor its keys.
func TestHandOverRestored(t *testing.T) {
	for name, spec := range map[string]func(*bench) *plan.Spec{
		"other keys": func(b *bench) *plan.Spec { return b.captureSpec("new", keyB) },
		"no keys":    func(b *bench) *plan.Spec { return b.spec(t, "new") },
	} {
		b := handingOver(t, keyA, keyB)
		if err := b.loadOnly(t.Context(), b.captureSpec("old", keyA)); err != nil {
			t.Fatal(err)
		}
		b.kernel.FailLate = []unix.Errno{unix.ENOMEM}
		err := b.loadOnly(t.Context(), spec(b))
		if err == nil || !strings.Contains(err.Error(), "was restored") || strings.Contains(err.Error(), "without the keys") ||
			b.kernel.Crash == nil || initrdName(b.kernel.Crash.Initrd) != "old" || b.configured() != haveA {
			t.Errorf("%s: Load = %v, configured %q; want the old one restored with its key", name, err, b.configured())
		}
		// Its key is gone: then it is restored without, and the record says so.
		delete(b.kernel.DiskKeys, keyA)
		b.kernel.FailLate = []unix.Errno{unix.ENOMEM}
		err = b.loadOnly(t.Context(), spec(b))
		if err == nil || !strings.Contains(err.Error(), "was restored, without the keys of encrypted disks") || b.kernel.Crash == nil || b.kernel.Crash.Segments == nil {
			t.Errorf("%s: Load = %v; want the old one restored by kexec_load", name, err)
		}
		if b.holds(t, b.captureSpec("old", keyA)) {
			t.Errorf("%s: it is held to be all that was asked for", name)
		}
		b.kernel.DiskKeys[keyA] = true
		if p, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || p.Method != plan.File || b.configured() != haveA {
			t.Errorf("%s: Reload = %v, configured %q; want by kexec_file_load, with the key again", name, err, b.configured())
		}
	}
}
