package vm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// The largest CPU that there is: on arm64 virtual addresses of 52 bits, the kernel
// at EL2 with VHE, and SME, which the purgatory has to leave; two CPUs.
func TestVMCrashArchMax(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.CPU, cfg.Machine = "max,pauth-impdef=on", "virt,gic-version=3,virtualization=on"
		g := vmlab.Boot(t, cfg)
		archLoad(t, g, "--serial", "ttyAMA0")
		for _, l := range readHeader(t, g, "show", "--loaded").Loads[1:] {
			if l.Virt>>52 != 0xfff {
				t.Errorf("%#x is mapped at %#x; want an address of 52 bits", l.Start, l.Virt)
			}
		}
		if console := g.VM.Console(); !strings.Contains(console, "CPU: All CPU(s) started at EL2") {
			t.Error("the kernel does not run at EL2; the test would prove less than it says")
		}
		crashSegments(t, g)
	}, "trixie-arm64")
}

// Kernels with pages of 16 KiB, and the newest that there is.
func TestVMCrashArchKernels(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		if k.Arch == "arm64" {
			cfg.CPU, cfg.Memory, cfg.CrashKernel = "max,pauth-impdef=on", 1024, "256M"
		}
		g := vmlab.Boot(t, cfg)
		if want := map[string]int{"trixie-arm64-16k": 16 << 10, "sid-riscv64": 4 << 10}[k.Name]; g.VM.Hello.PageSize != want {
			t.Errorf("pages of %d bytes; want %d", g.VM.Hello.PageSize, want)
		}
		archLoad(t, g)
		crashSegments(t, g)
	}, "trixie-arm64-16k", "sid-riscv64")
}

// However the kernel protects its own memory, the header that is loaded can be seen.
func TestVMTruthArch(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cmdlines := []string{"rodata=off nokaslr"}
		if k.Arch == "arm64" { // whose default is rodata=full
			cmdlines = append(cmdlines, "rodata=on")
		}
		for _, cmdline := range cmdlines {
			t.Run(cmdline, func(t *testing.T) {
				cfg := archMachine(t, k)
				cfg.Cmdline, cfg.CPUs = cmdline, 1
				archLoad(t, vmlab.Boot(t, cfg))
			})
		}
	}, "trixie-arm64", "trixie-riscv64")
}

// A segment that is changed after the load is caught there too, and said on the
// serial port that was named, or on the firmware's.
func TestVMPurgatoryCatchesArch(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, archMachine(t, k))
		args := []string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg(), "--method", "segments"}
		if k.Arch == "arm64" {
			args = append(args, "--serial", "ttyAMA0")
		}
		catchChange(t, g, args)
	}, "trixie-arm64", "trixie-riscv64")
}

// Memory comes to a machine whose kernel can't update a header: status says that
// it is stale, hotplug loads again, and the new memory is in the dump. virtio-mem
// needs no firmware's help.
func TestVMHotplugArch(t *testing.T) {
	vmlab.MoreArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.MaxMemory, cfg.Modules = 2048, []string{"virtio_mem"}
		cfg.Args = []string{"-object", "memory-backend-ram,id=vmem,size=1G", "-device", "virtio-mem-pci,id=vm0,memdev=vmem,requested-size=0"}
		// The capture has the device's driver before it reads the old memory.
		for i, f := range cfg.Files {
			if f.Path == guestInitrd {
				cfg.Files[i].Source = captureInitramfs(t, k, "--format", "elf", "--dump-level", "0", "--module", "virtio_mem", "--set", "virtio_blk", "--set", "nvme", "raw:/dev/nvme0n1")
			}
		}
		g := vmlab.Boot(t, cfg)
		archLoad(t, g)
		g.HMP(fmt.Sprintf("qom-set vm0 requested-size %d", 256<<20))
		repairInPlace(t, g, waitAdded(t, g, 256<<20).Ranges()...)
	}, "trixie-arm64") // Debian's kernel for riscv64 has no virtio-mem
}

// repair is for a machine whose memory was hot-added: status says that the header is
// stale, and hotplug loads again. It returns where the header was and is.
func repair(t *testing.T, g *vmlab.Guest, added ...memmap.Range) (from, to uint64) {
	t.Helper()
	before := readStatus(t, g)
	if before.Header.Accuracy != "stale" {
		t.Errorf("status with %v added: %+v; want stale", added, before)
	}
	g.Must(gokexec, "hotplug")
	after := readStatus(t, g)
	if after.Header.Accuracy != "accurate" {
		t.Errorf("status after hotplug: %+v; want accurate", after)
	}
	loaded := readHeader(t, g, "show", "--loaded").memory()
	for _, r := range added {
		if !loaded.Contains(r) {
			t.Errorf("the loaded header has %v, without %v", loaded, r)
		}
	}
	return before.Header.Address, after.Header.Address
}

// repairInPlace is repair where both loads are by kexec_load, and crashes: what is in the
// added memory is in the dump.
func repairInPlace(t *testing.T, g *vmlab.Guest, added ...memmap.Range) {
	t.Helper()
	if from, to := repair(t, g, added...); from != to {
		t.Errorf("the header was at %#x and is at %#x; want it in its place", from, to)
	}
	crashWithAdded(t, g, added[0])
}

func crashWithAdded(t *testing.T, g *vmlab.Guest, added memmap.Range) {
	t.Helper()
	nonce, err := g.VM.PlantBetween(t.Context(), 50, uint64(added.Start), uint64(added.End))
	if err != nil {
		t.Fatal(err)
	}
	crashSegments(t, g).checkNonce(t, nonce)
}

// waitAdded waits until a driver has added that much memory, and returns it.
func waitAdded(t *testing.T, g *vmlab.Guest, size uint64) (added memmap.Set) {
	t.Helper()
	g.Eventually("memory is added", func() string {
		text := g.ReadFile("/proc/iomem")
		iomem, err := memmap.ParseIomem(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if added = iomem.SystemRAM().Minus(iomem.BootRAM()); added.Size() >= size {
			return ""
		}
		return fmt.Sprintf("%d bytes; want %d:\n%s", added.Size(), size, text)
	})
	return added
}
