package loader

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// loadOne loads and gives the verification after it.
func (b *bench) loadOne(t *testing.T, initrd string) *accuracy.Verification {
	t.Helper()
	_, found, err := b.settle(t.Context(), func() (*plan.Plan, error) { return b.plan(t, initrd), nil })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (b *bench) verify() *accuracy.Verification { return accuracy.Verify(b.Root, b.StateDir) }

func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*bench)
		want   string // of Verification.String
	}{
		{"nothing changed", func(*bench) {}, "accurate"},
		{"memory came", func(b *bench) { b.kernel.AddMemory(kexectest.DIMM()) }, "stale: missing memory: [0x100000000-0x140000000)"},
		{"memory came, and the kernel followed", func(b *bench) {
			b.kernel.HotplugFlag = true
			b.kernel.AddMemory(kexectest.DIMM())
			b.kernel.MemoryOnline()
		}, "accurate"},
		{"memory went", func(b *bench) {
			b.kernel.HotplugFlag = true
			b.kernel.AddMemory(kexectest.DIMM())
			b.kernel.MemoryOnline()
			b.kernel.RemoveMemory(kexectest.DIMM())
		}, "stale: surplus memory: [0x100000000-0x140000000)"},
		{"memory came, offline", func(b *bench) {
			b.kernel.AddMemory(kexectest.DIMM())
			b.blocks("offline", 0, 8)
		}, "accurate"},
		{"memory came, a part offline", func(b *bench) {
			b.kernel.AddMemory(kexectest.DIMM())
			b.blocks("offline", 0, 3)
			b.blocks("online", 3, 8)
		}, "stale: missing memory: [0x118000000-0x140000000)"},
		{"memory went offline", func(b *bench) {
			b.kernel.HotplugFlag = true
			b.kernel.AddMemory(kexectest.DIMM())
			b.kernel.MemoryOnline()
			b.blocks("offline", 0, 8)
		}, "accurate"},
		{"less than a page came", func(b *bench) { b.kernel.AddMemory(memmap.Range{Start: 4 << 30, End: 4<<30 + 0x800}) }, "accurate"},
		{"a CPU came", func(b *bench) { b.kernel.WriteCPU(1, 0x3fd0a000) }, "stale: missing CPU notes: [0x3fd0a000-0x3fd0a1f8)"},
		{"a CPU came, offline", func(b *bench) {
			b.kernel.WriteCPU(1, 0x3fd0a000)
			b.kernel.Write("sys/devices/system/cpu/cpu1/online", "0\n")
		}, "accurate"},
		{"unloaded", func(b *bench) { b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n") }, "not loaded"},
		{"new name of the file", func(b *bench) {
			b.kernel.Remove("sys/kernel/kexec_crash_loaded")
			b.kernel.Write("sys/kernel/kexec/crash_loaded", "1\n")
		}, "accurate"},
		{"no kexec", func(b *bench) { b.kernel.Remove("sys/kernel/kexec_crash_loaded") }, "unknown: the kernel does not say"},
		{"no kcore", func(b *bench) { b.kernel.HideKcore() }, "unknown: the loaded header can't be read"},
		{"addresses hidden", func(b *bench) { b.kernel.Write("proc/iomem", "00000000-00000000 : System RAM\n") }, "unknown: the machine can't be read"},
		{"header overwritten", func(b *bench) { b.kernel.WritePhys(0x36000000, make([]byte, 4096)) }, "unknown: the kernel does not show the crash memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if found := b.loadOne(t, "x"); found.Accuracy != accuracy.Accurate {
				t.Fatalf("after the load: %v; want accurate", found)
			}
			tt.change(b)
			if got := b.verify(); !strings.HasPrefix(got.String(), tt.want) || got.Foreign {
				t.Errorf("Verify = %v, foreign %v; want %s, our own", got, got.Foreign, tt.want)
			}
		})
	}
}

// blocks sets the state of the DIMM's memory blocks of 128 MiB.
func (b *bench) blocks(state string, from, to int) {
	b.kernel.Write("sys/devices/system/memory/block_size_bytes", "8000000\n")
	for n := from; n < to; n++ {
		b.kernel.Write(fmt.Sprintf("sys/devices/system/memory/memory%d/state", 32+n), state+"\n")
	}
}

// Without a verification, the machine's memory and CPUs tell whether it may be stale.
// A kernel that hides what is loaded shows an older header, which says nothing.
func TestVerifyHidden(t *testing.T) {
	b := newBench(t)
	b.kernel.NoFileLoad = true
	if found := b.loadOne(t, "x"); found.Accuracy != accuracy.Accurate || found.Header != 0x36000000 {
		t.Fatalf("after the load: %+v; want accurate", found)
	}
	header, err := plan.New(b.kernel.Host("x86_64"), &plan.Spec{Kind: machine.Crash, Method: plan.Segments, Kernel: plan.FromBytes("kernel", imagetest.SmallBzImage().Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := header.Segment(plan.RoleElfcorehdr)
	b.kernel.WritePhys(0x38000000, s.Data)
	b.kernel.WritePhys(0x36000000, make([]byte, len(s.Data)))
	found := b.verify()
	if found.Accuracy != accuracy.Unverified || !strings.Contains(found.Reason, "of an earlier load") || !found.Unchanged {
		t.Errorf("with the header hidden: %+v; want unknown, on an unchanged machine", found)
	}
	b.kernel.AddMemory(kexectest.DIMM())
	if found := b.verify(); found.Accuracy != accuracy.Unverified || found.Unchanged {
		t.Errorf("with the header hidden and memory added: %+v; want unknown, changed", found)
	}
}

func TestVerifyUnknownUnchanged(t *testing.T) {
	b := newBench(t)
	b.kernel.HideKcore()
	found := b.loadOne(t, "x")
	if found.Accuracy != accuracy.Unverified || !found.Unchanged || b.kernel.Calls != 1 {
		t.Errorf("after the load: %+v, %d calls; want unknown, unchanged, 1", found, b.kernel.Calls)
	}
	b.kernel.WriteCPU(1, 0x3fd0a000)
	if found := b.verify(); found.Accuracy != accuracy.Unverified || found.Unchanged {
		t.Errorf("after a CPU came: %+v; want unknown, changed", found)
	}
}

// What another program has loaded is seen, and so is that our own load is back.
func TestVerifyForeign(t *testing.T) {
	b := newBench(t)
	b.loadOne(t, "ours")
	foreign := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
	if err := foreign.loadPlan(t.Context(), b.plan(t, "theirs")); err != nil {
		t.Fatal(err)
	}
	if found := b.verify(); !found.Foreign || found.Accuracy != accuracy.Accurate {
		t.Errorf("after a load by another tool: %+v; want it seen, and accurate", found)
	}
	b.loadOne(t, "ours")
	if found := b.verify(); found.Foreign {
		t.Errorf("after a load of our own: %+v; want it to be ours", found)
	}
	// A header that the kernel rewrites is no load by another tool.
	b.kernel.HotplugFlag = true
	b.kernel.AddMemory(kexectest.DIMM())
	b.kernel.MemoryOnline()
	if found := b.verify(); found.Foreign || found.Accuracy != accuracy.Accurate {
		t.Errorf("after the kernel's update: %+v; want ours, accurate", found)
	}
}

// A note of garbage makes nothing worse.
func TestVerifyTornNote(t *testing.T) {
	b := newBench(t)
	b.loadOne(t, "x")
	for _, note := range []string{"", "{", `{"version":1,"kernel":{"path":"/x"},"elfcorehdr":4096}`,
		`{"version":1,"kernel":{"path":"/x"},"memory":{"pages_sha256":"00","ranges":[{"start":0,"end":18446744073709551615}]}}`,
		`{"version":1,"kernel":{"path":"/x"},"memory":{"pages_sha256":"00","ranges":[{"start":4096,"end":0}]}}`} {
		if err := os.WriteFile(filepath.Join(b.StateDir, statedir.RecordName), []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := b.verify(); found.Accuracy != accuracy.Accurate {
			t.Errorf("with the note %q: %v; want accurate", note, found)
		}
	}
}

func TestLoadSettled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		load   func(b *bench, round int) // while a load is under way
		limit  string
		loads  int
		want   accuracy.State
		hidden bool
	}{
		{"quiet", func(*bench, int) {}, "-1", 1, accuracy.Accurate, false},
		{"memory comes during the first", func(b *bench, round int) {
			if round == 1 {
				b.kernel.AddMemory(kexectest.DIMM())
				b.kernel.MemoryOnline() // dropped
			}
		}, "-1", 2, accuracy.Accurate, false},
		{"memory comes during each", func(b *bench, round int) {
			b.kernel.AddMemory(memmap.Range{Start: memmap.PhysAddr(4+round) << 30, End: memmap.PhysAddr(5+round) << 30})
		}, "-1", maxRounds, accuracy.Stale, false},
		{"a limit counts loads", func(b *bench, _ int) { b.kernel.AddMemory(kexectest.DIMM()) }, "5", 1, accuracy.Stale, false},
		{"header hidden, a CPU comes during the first", func(b *bench, round int) {
			if round == 1 {
				b.kernel.WriteCPU(1, 0x3fd0a000)
			}
		}, "-1", 2, accuracy.Unverified, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.kernel.HotplugFlag = true
			b.kernel.Write("proc/sys/kernel/kexec_load_limit_panic", tt.limit+"\n")
			if tt.hidden {
				b.kernel.HideKcore()
			}
			round := 0
			b.kernel.DuringLoad = func() { round++; tt.load(b, round) }
			if found := b.loadOne(t, "x"); found.Accuracy != tt.want || round != tt.loads {
				t.Errorf("loadSettled = %v after %d loads; want %v after %d", found, round, tt.want, tt.loads)
			}
		})
	}
}

func TestReload(t *testing.T) {
	setup := func(t *testing.T) *bench {
		b := newBench(t)
		b.loadOne(t, "x")
		b.kernel.AddMemory(kexectest.DIMM())
		return b
	}
	reload := func(t *testing.T, b *bench, opt ReloadOptions) (*plan.Plan, *accuracy.Verification) {
		t.Helper()
		p, found, err := b.reload(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		return p, found
	}
	t.Run("by kexec_load", func(t *testing.T) {
		b := setup(t)
		cmdline := b.kernel.Crash.Cmdline
		p, found := reload(t, b, ReloadOptions{})
		if p.Method != plan.Segments || found.Accuracy != accuracy.Accurate || p.Cmdline != cmdline {
			t.Errorf("Reload = %v, %v, %q; want by kexec_load, accurate, the same command line", p.Method, found, p.Cmdline)
		}
		// And that one again: the user still has not asked for a method.
		b.kernel.RemoveMemory(kexectest.DIMM())
		b.kernel.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
		if _, _, err := b.reload(t.Context(), ReloadOptions{Method: plan.Segments}); err == nil {
			t.Error("Reload by kexec_load under lockdown succeeds; want why not")
		}
		if p, found := reload(t, b, ReloadOptions{}); p.Method != plan.File || found.Accuracy != accuracy.Accurate {
			t.Errorf("Reload after lockdown = %v, %v; want by kexec_file_load, accurate", p.Method, found)
		}
		b.kernel.Write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
		reload(t, b, ReloadOptions{})
		state, err := record.Read(b.StateDir)
		if err != nil || state.Asked.Method != plan.Auto || state.Method != plan.Segments {
			t.Errorf("noted %+v, %v; want segments, asked for auto", state, err)
		}
	})
	t.Run("by kexec_file_load where it must", func(t *testing.T) {
		for name, change := range map[string]func(*bench){
			"lockdown":    func(b *bench) { b.kernel.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n") },
			"secure boot": func(b *bench) { b.kernel.Write("sys/firmware/efi/efivars/SecureBoot-8be4df61", "\x06\x00\x00\x00\x01") },
			"disk keys":   func(b *bench) { b.kernel.Write("sys/kernel/config/crash_dm_crypt_keys/count", "2\n") },
		} {
			b := setup(t)
			change(b)
			if p, found := reload(t, b, ReloadOptions{}); p.Method != plan.File || found.Accuracy != accuracy.Accurate {
				t.Errorf("%s: Reload = %v, %v; want by kexec_file_load, accurate", name, p.Method, found)
			}
		}
		b := setup(t)
		if p, _ := reload(t, b, ReloadOptions{Method: plan.File}); p.Method != plan.File {
			t.Errorf("Reload by kexec_file_load was by %v", p.Method)
		}
	})
	t.Run("disk keys that are gone from the keyring", func(t *testing.T) {
		b := newBench(t)
		count, reuse := "sys/kernel/config/crash_dm_crypt_keys/count", "sys/kernel/config/crash_dm_crypt_keys/reuse"
		b.kernel.Write(count, "1\n")
		b.kernel.Write(reuse, "0\n")
		b.loadOne(t, "x")
		b.kernel.KeysExpired = true
		b.kernel.AddMemory(kexectest.DIMM())
		if p, found := reload(t, b, ReloadOptions{}); p.Method != plan.File || found.Accuracy != accuracy.Accurate {
			t.Errorf("Reload = %v, %v; want by kexec_file_load, accurate, with the keys of the image before", p.Method, found)
		}
		// An explicit load takes new ones.
		if got, err := fs.ReadFile(b.Root, reuse); err != nil || string(got) != "0\n" {
			t.Errorf("reuse is %q, %v after the reload; want 0", got, err)
		}
		// Who has set it wants it so.
		b.kernel.Write(reuse, "1\n")
		reload(t, b, ReloadOptions{})
		if got, err := fs.ReadFile(b.Root, reuse); err != nil || string(got) != "1\n" {
			t.Errorf("reuse is %q, %v after the reload; want 1, as before", got, err)
		}
		// An image without keys has none to keep.
		b = newBench(t)
		b.loadOne(t, "x")
		b.kernel.Write(count, "1\n")
		if p, _ := reload(t, b, ReloadOptions{}); p.Method != plan.File {
			t.Errorf("Reload was by %v; want by kexec_file_load", p.Method)
		}
	})
	t.Run("refused by kexec_load", func(t *testing.T) {
		b := setup(t)
		b.kernel.FailEarly = append(b.kernel.FailEarly, 1) // EPERM
		if p, found := reload(t, b, ReloadOptions{}); p.Method != plan.File || found.Accuracy != accuracy.Accurate {
			t.Errorf("Reload = %v, %v; want by kexec_file_load, accurate", p.Method, found)
		}
	})
	t.Run("nothing noted", func(t *testing.T) {
		b := newBench(t)
		if _, _, err := b.reload(t.Context(), ReloadOptions{}); err == nil || !strings.Contains(advice.Hint(err), "gokexec load --crash") {
			t.Errorf("Reload = %v (hint %q); want what to do", err, advice.Hint(err))
		}
	})
	t.Run("lost", func(t *testing.T) {
		b := setup(t)
		b.kernel.Crash = nil
		b.kernel.Write("sys/kernel/kexec_crash_loaded", "0\n")
		if _, _, err := b.reload(t.Context(), ReloadOptions{}); err == nil || b.kernel.Crash != nil {
			t.Errorf("Reload of what was unloaded = %v; want an error", err)
		}
		if _, found := reload(t, b, ReloadOptions{Lost: true}); found.Accuracy != accuracy.Accurate {
			t.Errorf("Reload of what was lost = %v; want accurate", found)
		}
	})
	t.Run("foreign", func(t *testing.T) {
		b := setup(t)
		other := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
		if err := other.loadPlan(t.Context(), b.plan(t, "theirs")); err != nil {
			t.Fatal(err)
		}
		calls := b.kernel.Calls
		if _, _, err := b.reload(t.Context(), ReloadOptions{}); err == nil || b.kernel.Calls != calls {
			t.Errorf("Reload over a load by another tool = %v after %d calls; want a refusal before any", err, b.kernel.Calls-calls)
		}
	})
	t.Run("files changed and gone", func(t *testing.T) {
		b := setup(t)
		initrd := filepath.Join(b.dir, "initrd-x")
		if err := os.WriteFile(initrd, initrdOf("another"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, found := reload(t, b, ReloadOptions{}); found.Accuracy != accuracy.Accurate || !strings.Contains(strings.Join(b.told, "\n"), initrd) {
			t.Errorf("Reload with another initrd = %v, told %q; want it said", found, b.told)
		}
		if err := os.Remove(initrd); err != nil {
			t.Fatal(err)
		}
		calls := b.kernel.Calls
		if _, _, err := b.reload(t.Context(), ReloadOptions{}); err == nil || !strings.Contains(err.Error(), initrd) || b.kernel.Calls != calls {
			t.Errorf("Reload without its initrd = %v; want it named, and nothing called", err)
		}
	})
}
