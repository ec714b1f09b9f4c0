package loader

import (
	"context"
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
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// loongBench is a bench of an architecture with one command line for both images.
func loongBench(t *testing.T) *bench {
	b := newBench(t)
	arch, err := machine.ArchByName("loongarch64")
	if err != nil {
		t.Fatal(err)
	}
	b.Arch = arch
	return b
}

func loongSpec(kind machine.Kind) *plan.Spec {
	return &plan.Spec{Kind: kind, Kernel: plan.FromBytes("vmlinuz", imagetest.LoongArch(1<<20, imagetest.Banner("6.18.1"))), Cmdline: kind.String()}
}

// Where the kernel has one command line for both images, a load for a reboot never
// gets as far as the crash kernel's.
func TestBootLoadSparesCrashKernel(t *testing.T) {
	b := loongBench(t)
	ctx := context.Background()
	if err := b.loadOnly(ctx, loongSpec(machine.Crash)); err != nil {
		t.Fatal(err)
	}
	calls, crash := b.kernel.Calls, b.kernel.Crash
	err := b.loadOnly(ctx, loongSpec(machine.Boot))
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "one command line for both images") || !strings.Contains(advice.Hint(err), "gokexec unload --crash") {
		t.Errorf("load for a reboot = %v, hint %q; want it refused", err, advice.Hint(err))
	}
	if b.kernel.Calls != calls || b.kernel.Crash != crash || b.kernel.Boot != nil {
		t.Errorf("%d system calls were made, boot %+v; want none, and the crash kernel as it was", b.kernel.Calls-calls, b.kernel.Boot)
	}
	if err := b.unloadBy(ctx, machine.Crash, plan.Auto); err != nil {
		t.Fatal(err)
	}
	if err := b.loadOnly(ctx, loongSpec(machine.Boot)); err != nil || b.kernel.Boot == nil {
		t.Errorf("load for a reboot without a crash kernel = %v", err)
	}
	// The other way round what is loaded for the reboot goes, and that is said.
	if err := b.loadOnly(ctx, loongSpec(machine.Crash)); err != nil || b.kernel.Crash == nil {
		t.Errorf("load of a crash kernel = %v", err)
	}
	if b.kernel.Boot != nil || !slices.ContainsFunc(b.told, func(s string) bool { return strings.Contains(s, "loaded for a reboot is unloaded") }) {
		t.Errorf("boot image %+v, told %q; want it unloaded, and that said", b.kernel.Boot, b.told)
	}
}

// Elsewhere the images don't know of each other.
func TestBothImagesElsewhere(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	for _, kind := range []machine.Kind{machine.Crash, machine.Boot, machine.Crash} {
		if err := b.loadOnly(ctx, &plan.Spec{Kind: kind, Kernel: plan.FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes()), Cmdline: kind.String()}); err != nil {
			t.Fatal(err)
		}
	}
	if b.kernel.Boot == nil || b.kernel.Crash == nil || b.kernel.Boot.Cmdline != "boot" || len(b.told) != 0 {
		t.Errorf("boot %+v, crash %+v, told %q; want both", b.kernel.Boot, b.kernel.Crash, b.told)
	}
}

// Both may be loaded by another program; check tells.
func TestBothImagesLoadedByOthers(t *testing.T) {
	b := loongBench(t)
	for _, tt := range []struct {
		boot  string
		level advice.Level
	}{{"0\n", advice.OK}, {"1\n", advice.Warning}, {"", advice.Unknown}} {
		b.kernel.Write("sys/kernel/kexec_loaded", tt.boot)
		if tt.boot == "" {
			b.kernel.Remove("sys/kernel/kexec_loaded")
		}
		host, err := machine.ReadHost(b.Root, b.Arch)
		if err != nil {
			t.Fatal(err)
		}
		if f := check.OneCmdline(host, machine.Crash); f.Level != tt.level {
			t.Errorf("kexec_loaded %q: %+v; want %v", tt.boot, f, tt.level)
		}
	}
}

// What a reboot hands on is not lost: where something is, by kexec_file_load or not at all.
func TestHandover(t *testing.T) {
	const config = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n"
	for _, tt := range []struct {
		name  string
		setup func(m *kexectest.Machine)
		on    bool
	}{
		{"nothing", func(*kexectest.Machine) {}, false},
		{"kho=on", func(m *kexectest.Machine) { m.Write("proc/cmdline", "root=/dev/vda1 kho=on\n") }, true},
		{"kho=1", func(m *kexectest.Machine) { m.Write("proc/cmdline", "kho=1\n") }, true},
		{"kho=off", func(m *kexectest.Machine) { m.Write("proc/cmdline", "kho=off\n") }, false},
		{"kho=on, which the kernel does not know", func(m *kexectest.Machine) {
			m.Write("proc/cmdline", "kho=on\n")
			m.Write("boot/config-6.12.1", config+"# CONFIG_KEXEC_HANDOVER is not set\n")
		}, false},
		{"on by default", func(m *kexectest.Machine) {
			m.Write("boot/config-6.12.1", config+"CONFIG_KEXEC_HANDOVER=y\nCONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y\n")
		}, true},
		{"debugfs tells", func(m *kexectest.Machine) {
			m.Write("sys/kernel/debug/kho/out/fdt", "x")
			m.Write("boot/config-6.12.1", config+"CONFIG_KEXEC_HANDOVER=y\n")
		}, true},
		{"live update", func(m *kexectest.Machine) { m.Write("sys/class/misc/liveupdate/dev", "10:1\n") }, true},
	} {
		b := newBench(t)
		b.kernel.Write("boot/config-6.12.1", config+"CONFIG_KEXEC_HANDOVER=y\n")
		tt.setup(b.kernel.Machine)
		host := b.kernel.Host("x86_64")
		for _, method := range []plan.Method{plan.Auto, plan.File, plan.Segments} {
			for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
				p, err := plan.New(host, &plan.Spec{Kind: kind, Method: method, Kernel: plan.FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes())})
				if err != nil {
					t.Fatal(err)
				}
				err = advice.FirstFailure(p.Check(host))
				if refused := tt.on && kind == machine.Boot && method == plan.Segments; (err != nil) != refused || refused && !strings.Contains(err.Error(), "hands nothing on") {
					t.Errorf("%s: %v by %v: %v; want it refused: %t", tt.name, kind, method, err, refused)
				}
			}
		}
		// A kernel without the file call, or that does not take this image, is no way out.
		b.kernel.NoFileLoad = true
		err := b.loadOnly(context.Background(), &plan.Spec{Kind: machine.Boot, Kernel: plan.FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes())})
		if (err != nil) != tt.on || (b.kernel.Boot == nil) != tt.on {
			t.Errorf("%s: auto without kexec_file_load = %v; want it refused: %t", tt.name, err, tt.on)
		}
	}
}

// The noted state of a crash kernel survives a refused load.
func TestRefusedBootLoadKeepsNote(t *testing.T) {
	b := loongBench(t)
	kernel := filepath.Join(b.dir, "vmlinuz")
	if err := os.WriteFile(kernel, imagetest.LoongArch(1<<20, imagetest.Banner("6.18.1")), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := &plan.Spec{Kind: machine.Crash, Kernel: plan.FromFile(kernel), Cmdline: "c"}
	if err := b.loadOnly(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	if err := b.loadOnly(context.Background(), loongSpec(machine.Boot)); err == nil {
		t.Error("the load for a reboot was not refused")
	}
	if state, err := record.Read(b.StateDir); err != nil || state.Asked.Kernel.Path != kernel {
		t.Errorf("note %+v, %v; want the crash kernel's", state, err)
	}
}
