package loader

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

const withFileLoad = "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\nCONFIG_CRASH_DUMP=y\nCONFIG_PROC_VMCORE=y\n"

// By kexec_file_load, where the kernel can: what it does not read by itself is unpacked, and
// what it does not take, which it says by EINVAL too, is loaded by kexec_load.
func TestDTFile(t *testing.T) {
	packed := imagetest.Compress(t, "gzip", imagetest.SmallARM64(nil))
	arm := func(t testing.TB) *kexectest.Machine { return kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48) }
	old := func(t testing.TB) *kexectest.Machine { return kexectest.NewRISCVMachine(t) }
	riscv := func(t testing.TB) *kexectest.Machine {
		m := old(t)
		m.Write("proc/iomem", strings.Replace(strings.Replace(kexectest.IomemRISCV, "80000000-9fff", "80080000-9fff", 1), "  80000000-8007ffff", "80000000-8007ffff", 1))
		return m
	}
	tests := []struct {
		name, arch string
		machine    func(t testing.TB) *kexectest.Machine
		kernel     []byte
		refuse     unix.Errno
		want       plan.Method
		unpacked   bool
		why        string
	}{
		{"Image", "arm64", arm, imagetest.SmallARM64(nil), 0, plan.File, false, ""},
		{"Image.gz", "arm64", arm, packed, 0, plan.File, true, ""},
		{"Image, EINVAL", "arm64", arm, imagetest.SmallARM64(nil), unix.EINVAL, plan.Segments, false, "invalid argument"},
		{"Image, ENOEXEC", "arm64", arm, imagetest.SmallARM64(nil), unix.ENOEXEC, plan.Segments, false, "exec format error"},
		{"Image, EPERM", "arm64", arm, imagetest.SmallARM64(nil), unix.EPERM, plan.File, false, ""},
		{"vmlinux", "arm64", arm, imagetest.VmlinuxOf(elf.EM_AARCH64, imagetest.SmallARM64(nil)), 0, plan.Segments, false, "does not take ELF"},
		{"riscv Image", "riscv64", riscv, imagetest.SmallRISCV(), 0, plan.File, false, ""},
		{"riscv vmlinux", "riscv64", riscv, imagetest.VmlinuxOf(elf.EM_RISCV, imagetest.SmallRISCV()), 0, plan.File, false, ""},
		{"riscv vmlinux of 7.x", "riscv64", riscv, imagetest.VmlinuxOf(elf.EM_RISCV, imagetest.SmallRISCV(), elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: 0xffff800080470000, Align: 0x1000}), 0, plan.Segments, false, "would be entered at a wrong address"},
		{"riscv Image, old firmware", "riscv64", old, imagetest.SmallRISCV(), 0, plan.Segments, false, "memory of the firmware, which can't be read, into the dump: [[0x80000000-0x80080000)]"},
	}
	for _, tt := range tests {
		m := tt.machine(t)
		m.Write("boot/config-6.12.1", withFileLoad)
		k := kexectest.NewKernel(m)
		if tt.refuse != 0 {
			k.FailEarly = []unix.Errno{tt.refuse}
		}
		host := m.Host(tt.arch)
		spec := specBySegments(machine.Crash, tt.kernel)
		spec.Method = plan.Auto
		p, err := plan.New(host, spec)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if unpacked := len(p.Kernel.Unwrap) > 0; unpacked != tt.unpacked {
			t.Errorf("%s: unpacked %v; want %t", tt.name, p.Kernel.Unwrap, tt.unpacked)
		}
		for _, f := range p.Check(host) {
			if f.Level == advice.Failure {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
		l := &Loader{Kernel: k, Root: os.DirFS(m.Dir), Arch: host.Arch, StateDir: t.TempDir()}
		err = l.loadPlan(context.Background(), p)
		if tt.refuse == unix.EPERM {
			if !errors.Is(err, unix.EPERM) || k.Calls != 1 {
				t.Errorf("%s: Load = %v after %d calls; want the error at once", tt.name, err, k.Calls)
			}
			continue
		}
		if err != nil || p.Method != tt.want || k.Crash == nil || (len(k.Crash.Segments) > 0) != (tt.want == plan.Segments) || !strings.Contains(p.Why, tt.why) {
			t.Errorf("%s: Load = %v, by %v because %q; want %v because of %q", tt.name, err, p.Method, p.Why, tt.want, tt.why)
		}
	}
}

// No room for what the kernel will place by kexec_file_load is found before the call.
func TestDTFileNoRoom(t *testing.T) {
	m := kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48)
	m.Write("boot/config-6.12.1", withFileLoad)
	host := m.Host("arm64")
	spec := specBySegments(machine.Crash, imagetest.SmallARM64(func(a *imagetest.ARM64) { a.ImageSize = 127 << 20 }))
	spec.Method = plan.File
	p, err := plan.New(host, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := advice.FirstFailure(p.Check(host)); err == nil || !strings.Contains(err.Error(), "do not fit the crash memory") {
		t.Errorf("Check = %v; want that there is no room", err)
	}
}

// A reload finds the device tree that was given.
func TestStateKeepsDTB(t *testing.T) {
	tree := &fdt.Tree{Root: &fdt.Node{}}
	tree.Root.SetString("compatible", "given")
	b, err := tree.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) *plan.Source {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return plan.FromFile(path)
	}
	spec := specBySegments(machine.Crash, nil)
	spec.Kernel, spec.Initrd, spec.DTB = write("kernel", imagetest.SmallARM64(nil)), write("initrd", []byte("initrd")), write("x.dtb", b)
	spec.Method = plan.Auto
	host := kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48).Host("arm64")
	p, err := plan.New(host, spec)
	if err != nil {
		t.Fatal(err)
	}
	again := record.New(p).Spec()
	if again.DTB == nil || again.DTB.Path != spec.DTB.Path || again.Method != plan.Auto {
		t.Errorf("the noted load is %+v; want the device tree %s, by a method of gokexec's choice", again, spec.DTB.Path)
	}
}

// After a load by kexec_file_load over one by kexec_load memory holds two headers: that of the
// kernel is known by where the kernel puts it. What it has of the firmware's memory by
// design is not stale, but warned of.
func TestDTFileVerified(t *testing.T) {
	arm := func(t testing.TB) *kexectest.Machine { return kexectest.NewARM64Machine(t, 64<<10, kexectest.VA52) }
	riscv := func(t testing.TB) *kexectest.Machine { return kexectest.NewRISCVMachine(t) }
	for _, tt := range []struct {
		arch    string
		machine func(t testing.TB) *kexectest.Machine
		kernel  []byte
		at      memmap.PhysAddr
		warning string
	}{
		{"arm64", arm, imagetest.SmallARM64(nil), 0x5b5f0000, ""},
		{"riscv64", riscv, imagetest.SmallRISCV(), 0x9d3ff000, "memory of the firmware"},
	} {
		m := tt.machine(t)
		m.Write("boot/config-6.12.1", withFileLoad)
		l := &Loader{Kernel: kexectest.NewKernel(m), Root: os.DirFS(m.Dir), Arch: m.Host(tt.arch).Arch, StateDir: t.TempDir(), Report: func(line string) { t.Errorf("%s: %s", tt.arch, line) }}
		seen := map[memmap.PhysAddr]bool{}
		for _, method := range []plan.Method{plan.Segments, plan.File, plan.Segments, plan.File} {
			spec := specBySegments(machine.Crash, tt.kernel)
			spec.Method = method
			var warnings []string
			p, found, err := l.settle(context.Background(), func() (*plan.Plan, error) {
				host := m.Host(tt.arch)
				p, err := plan.New(host, spec)
				if err != nil {
					return nil, err
				}
				for _, f := range p.Check(host) {
					if f.Level == advice.Warning {
						warnings = append(warnings, f.Detail)
					}
				}
				return p, nil
			})
			if err != nil || p.Method != method || found.Accuracy != accuracy.Accurate || found.Foreign || (found.Header == tt.at) != (method == plan.File) {
				t.Errorf("%s by %v: %+v, %v; want it accurate, and a header at %v if by kexec_file_load", tt.arch, method, found, err, tt.at)
				continue
			}
			seen[found.Header] = true
			if warned := len(warnings) > 0; warned != (method == plan.File && tt.warning != "") || warned && !strings.Contains(warnings[0], tt.warning) {
				t.Errorf("%s by %v: warnings %q; want %q if by kexec_file_load", tt.arch, method, warnings, tt.warning)
			}
		}
		if len(seen) != 2 {
			t.Errorf("%s: headers at %v; want two", tt.arch, seen)
		}
	}
}
