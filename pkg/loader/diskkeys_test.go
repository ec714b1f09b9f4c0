package loader

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

const reuseFile = machine.DiskKeys + "/reuse"

// A key that is in no keyring is found out before the kernel frees what is loaded.
func TestDiskKeyMissing(t *testing.T) {
	b := newBench(t)
	b.loadOne(t, "old")
	b.kernel.ConfigureDiskKey("root", "cryptsetup:vk-1")
	calls := b.kernel.Calls
	err := b.loadOnly(t.Context(), b.spec(t, "new"))
	if !errors.Is(err, unix.ENOKEY) || b.kernel.Calls != calls || initrdName(b.kernel.Crash.Initrd) != "old" {
		t.Errorf("Load = %v after %d calls, %s is loaded; want ENOKEY before any, and the old image", err, b.kernel.Calls-calls, initrdName(b.kernel.Crash.Initrd))
	}
	for _, want := range []string{"cryptsetup:vk-1", "/" + machine.DiskKeys + "/root"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v; want it to name %s", err, want)
		}
	}
	if hint := advice.Hint(err); !strings.Contains(hint, "keyctl") || !strings.Contains(hint, "--link-vk-to-keyring") || strings.Contains(hint, "MOK") {
		t.Errorf("hint %q; want it to tell of keyrings, not of signatures", hint)
	}
	b.kernel.DiskKeys = map[string]bool{"cryptsetup:vk-1": true}
	if err := b.loadOnly(t.Context(), b.spec(t, "new")); err != nil || initrdName(b.kernel.Crash.Initrd) != "new" {
		t.Errorf("Load with the key = %v; want it loaded", err)
	}
	// By kexec_load the kernel asks for none; a kernel without descriptions to read is left to judge.
	b.kernel.DiskKeys = nil
	spec := b.spec(t, "segments")
	spec.Method = plan.Segments
	if err := b.loadOnly(t.Context(), spec); err != nil {
		t.Errorf("Load by kexec_load = %v; want it loaded", err)
	}
}

// A key that goes between the look and the load costs no image: the old one is restored,
// by the call that needs no key.
func TestDiskKeyLost(t *testing.T) {
	b := newBench(t)
	b.loadOne(t, "old")
	b.kernel.ConfigureDiskKey("root", "vk")
	b.kernel.DiskKeys = map[string]bool{"vk": true}
	b.kernel.KeysExpired = true
	err := b.loadOnly(t.Context(), b.spec(t, "new"))
	if !errors.Is(err, unix.ENOKEY) || !strings.Contains(err.Error(), "was restored, without the keys of encrypted disks") || b.kernel.Crash == nil || b.kernel.Crash.Segments == nil {
		t.Fatalf("Load = %v; want the old one restored by kexec_load", err)
	}
	if hint := advice.Hint(err); !strings.Contains(hint, "keyring of this process") || strings.Contains(hint, "MOK") {
		t.Errorf("hint %q; want it to tell of the disk's key, not of signatures", hint)
	}
	state, err := record.Read(b.StateDir)
	if err != nil || state.Asked.Method != plan.Auto || b.holds(t, b.spec(t, "old")) {
		t.Errorf("recorded %+v, %v; want it asked for by auto, and not held to be all that was asked for", state, err)
	}
}

// A process that is killed while the old keys are kept does not make the next load take
// them.
func TestDiskKeysReuseIsUndone(t *testing.T) {
	reuse := func(b *bench) string { return machine.ReadText(b.Root, reuseFile) }
	killed := func(t *testing.T) *bench {
		b := newBench(t)
		b.kernel.ConfigureDiskKey("root", "vk")
		b.kernel.DiskKeys = map[string]bool{"vk": true}
		b.loadOne(t, "old")
		b.KeepDiskKeys() // and never undone
		if reuse(b) != "1" {
			t.Fatal("the keys are not kept")
		}
		return b
	}
	t.Run("next load", func(t *testing.T) {
		b := killed(t)
		b.kernel.DuringLoad = func() {
			if reuse(b) != "0" {
				t.Error("the next load takes the old keys")
			}
		}
		if err := b.loadOnly(t.Context(), b.spec(t, "new")); err != nil || len(b.told) != 1 || !strings.Contains(b.told[0], "takes new ones") {
			t.Errorf("Load = %v, told %q; want that it takes new keys", err, b.told)
		}
		if _, err := os.Lstat(filepath.Join(b.StateDir, reuseName)); err == nil {
			t.Error("the note is left")
		}
	})
	t.Run("next reload", func(t *testing.T) {
		b := killed(t)
		b.kernel.DiskKeys = nil
		if _, _, err := b.reload(t.Context(), ReloadOptions{}); err != nil || reuse(b) != "0" {
			t.Errorf("Reload = %v, reuse is %s; want it made with the old keys, and undone", err, reuse(b))
		}
	})
	t.Run("the image is gone", func(t *testing.T) {
		b := killed(t)
		b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
		if err := b.loadPlan(t.Context(), b.plan(t, "new")); err == nil {
			t.Fatal("Load succeeds")
		}
		if err := b.loadOnly(t.Context(), b.spec(t, "new")); err != nil || !strings.Contains(strings.Join(b.told, "\n"), "takes the old keys") {
			t.Errorf("Load = %v, told %q; want that it takes the old keys", err, b.told)
		}
		if err := b.loadOnly(t.Context(), b.spec(t, "new")); err != nil || reuse(b) != "0" {
			t.Errorf("the load after that = %v, reuse is %s; want new keys", err, reuse(b))
		}
	})
	t.Run("set by somebody else", func(t *testing.T) {
		b := newBench(t)
		b.kernel.ConfigureDiskKey("root", "vk")
		b.kernel.DiskKeys = map[string]bool{"vk": true}
		b.loadOne(t, "old")
		b.kernel.Write(reuseFile, "1\n")
		if err := b.loadOnly(t.Context(), b.spec(t, "new")); err != nil || reuse(b) != "1" {
			t.Errorf("Load = %v, reuse is %s; want it left as it was set", err, reuse(b))
		}
	})
}
