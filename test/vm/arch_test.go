package vm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// archMachine is crashMachine for other architectures, with gokexec, the kernel
// and the capture initramfs, which is made on this one, and nothing else.
func archMachine(t *testing.T, k *vmlab.Kernel) vmlab.Config {
	t.Helper()
	return archMachineFor(t, k, wholeMemory...)
}

// archMachineFor is archMachine whose dump has a form of its own.
func archMachineFor(t *testing.T, k *vmlab.Kernel, form ...string) vmlab.Config {
	t.Helper()
	disk, target := vmlab.Disk{}, []string{"--set", "nvme", "raw:/dev/nvme0n1"}
	if k.Arch == "riscv64" || k.Arch == "s390x" || k.Arch == "ppc64le" {
		// QEMU 7.2 loses an interrupt of its NVMe disk on riscv64, which costs a minute; s390x has no PCI here.
		disk.Bus, target = "virtio", []string{"--set", "virtio_blk", "raw:/dev/vda"}
	}
	return vmlab.Config{
		Kernel: k, Memory: 512, CPUs: 2, CrashKernel: "128M",
		Disks: []vmlab.Disk{disk}, Modules: anyModule(k),
		Files: []vmlab.File{
			vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
			{Path: guestKernel, Source: k.Image},
			{Path: guestInitrd, Source: captureInitramfs(t, k, append(form, target...)...)},
		},
	}
}

// status is the part of gokexec's report that is looked at.
type status struct {
	CrashLoaded bool `json:"crash_loaded"`
	Header      struct {
		Accuracy string `json:"accuracy"`
		Reason   string `json:"reason"`
		Address  uint64 `json:"elfcorehdr"`
	} `json:"elfcorehdr"`
}

func readStatus(t *testing.T, g *vmlab.Guest) (s status) {
	t.Helper()
	r := g.Run(gokexec, "status", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
		t.Fatalf("status --json: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	return s
}

// archLoad loads as a user would, and looks at what is loaded: Debian's kernels
// for these architectures have no kexec_file_load, and auto finds that out.
func archLoad(t *testing.T, g *vmlab.Guest, more ...string) {
	t.Helper()
	if s := readStatus(t, g); s.CrashLoaded {
		t.Errorf("status before the load: %+v; want nothing loaded", s)
	}
	argv := append([]string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", g.VM.Config.Kernel.ConsoleArg()}, more...)
	t.Log(g.Must(append(argv, "--dry-run", "--method", "segments")...))
	r := g.Run(argv...)
	if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_load") || r.Stderr != "" {
		t.Fatalf("load: exit code %d\n%s%s\nwant 0, by kexec_load, and no warning", r.Code, r.Stdout, r.Stderr)
	}
	if s := readStatus(t, g); !s.CrashLoaded || s.Header.Accuracy != "accurate" {
		t.Errorf("status after the load: %+v; want an accurate header", s)
	}
	// Found by its address and by a scan.
	loaded, built := readHeader(t, g, "show", "--loaded"), readHeader(t, g, "build")
	if !slices.Equal(loaded.Loads, built.Loads) || !slices.Equal(loaded.CPUNotes, built.CPUNotes) || loaded.Info != built.Info {
		t.Errorf("the loaded header is %+v; want %+v", loaded, built)
	}
}

// The main job on the other architectures, by kexec_load: load, crash, capture with all defaults.
func TestVMCrashArch(t *testing.T) {
	vmlab.ArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, archMachineFor(t, k))
		archLoad(t, g, "--cpus", "2")
		if cpus := crashFiltered(t, g).CPUs; cpus != 2 {
			t.Errorf("the capture kernel had %d CPUs; want 2", cpus)
		}
		if console := g.VM.Console(); strings.Contains(console, "disabling initrd") || strings.Contains(console, "elfcorehdr is overlapped") {
			t.Errorf("the capture kernel does not like what it was given:\n%s", lastLines(console, 100))
		}
	})
}

// An ordinary kexec there, twice in a row: what the second kernel was told is
// what the third is made of.
func TestVMBootArch(t *testing.T) {
	vmlab.ArchMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := vmlab.Config{Kernel: k, Memory: 1024, CPUs: 2}
		if k.Arch == "arm64" {
			cfg.Machine = "virt,gic-version=3,its=off" // see Plan.checkInterrupts
		}
		bootTwice(t, cfg)
	})
}

func bootTwice(t *testing.T, cfg vmlab.Config) *vmlab.Guest {
	t.Helper()
	k := cfg.Kernel
	cfg.Files = append(cfg.Files, vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
		vmlab.File{Path: guestKernel, Source: k.Image}, vmlab.File{Path: "/boot/initrd", Source: chainInitramfs(t, k)})
	g := vmlab.Boot(t, cfg)
	ram := bootRAM(t, g)
	for i, more := range [][]string{nil, {"--dtb", "/sys/firmware/fdt"}} {
		step := fmt.Sprintf("step=%d", i)
		said := g.Must(append([]string{gokexec, "load", "--boot", guestKernel, "--initrd", "/boot/initrd", "--cmdline", g.VM.Config.AgentCmdline() + " " + step}, more...)...)
		if !strings.Contains(said, "by kexec_load") {
			t.Errorf("load says %q; want that it is by kexec_load", said)
		}
		last := g.VM.Hello.BootID
		g.Start(gokexec, "exec", "--force")
		g.VM.Hello = g.WaitHello()
		if g.VM.Hello.BootID == last || !strings.Contains(g.VM.Hello.Cmdline, step) {
			t.Fatalf("%s: the next kernel is %+v; want another boot, with the new command line", step, g.VM.Hello)
		}
		if got := bootRAM(t, g); !got.Equal(ram) {
			t.Errorf("%s: the next kernel sees RAM at %v; want %v", step, got, ram)
		}
	}
	g.Reboot("poweroff")
	g.WaitEnd()
	return g
}

// chainInitramfs has the agent, and what the second kernel needs to load a third.
func chainInitramfs(t *testing.T, k *vmlab.Kernel) string {
	t.Helper()
	files, err := vmlab.AgentFiles(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	third := initramfsFile(t, files...)
	return initramfsFile(t, append(files, vmlab.File{Path: "/boot/initrd", Source: third}, vmlab.File{Path: guestKernel, Source: k.Image},
		vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)))...)
}
