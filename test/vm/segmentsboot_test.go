package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const guestVMLinux = "/boot/vmlinux"

// vmlinux is the ELF kernel inside of a bzImage, as a file for the guest.
func vmlinux(t *testing.T, k *vmlab.Kernel) vmlab.File {
	t.Helper()
	f, err := os.Open(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	image, err := bootimage.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	inner, err := image.BzImage.VMLinux()
	if err != nil {
		t.Fatal(err)
	}
	b, err := inner.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return vmlab.File{Path: guestVMLinux, Source: path}
}

// An ordinary kexec by kexec_load: into the bzImage, and from there into a vmlinux,
// which there is no other way to load. The memory map stays the same.
func TestVMBootSegments(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		initrd := secondInitramfs(t, k)
		g := vmlab.Boot(t, vmlab.Config{Kernel: k, Memory: 1024, CPUs: 2, Files: []vmlab.File{
			vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
			{Path: guestKernel, Source: k.Image}, vmlinux(t, k), {Path: "/boot/initrd", Source: initrd},
		}})
		ram := bootRAM(t, g)
		for i, step := range []struct {
			kernel, method, why string
			exec                []string
		}{
			{guestKernel, "segments", "", []string{gokexec, "exec", "--force"}},
			{"/next/vmlinux", "auto", "does not take ELF", []string{gokexec, "kexec", "-e"}},
		} {
			said := g.Must(gokexec, "load", "--boot", step.kernel, "--initrd", "/boot/initrd", "--method", step.method,
				"--cmdline", g.VM.Config.AgentCmdline()+` step=`+string(rune('0'+i)))
			if !strings.Contains(said, "by kexec_load") || !strings.Contains(said, step.why) {
				t.Errorf("load %s says %q; want that it is by kexec_load, and why", step.kernel, said)
			}
			last := g.VM.Hello.BootID
			g.Start(step.exec...)
			hello := g.WaitHello()
			if hello.BootID == last || !strings.Contains(hello.Cmdline, "step="+string(rune('0'+i))) {
				t.Fatalf("the kernel after %s is %+v; want another boot, with the new command line", step.kernel, hello)
			}
			g.VM.Hello = hello
			if got := bootRAM(t, g); !got.Equal(ram) {
				t.Errorf("%s sees RAM at %v; want %v", step.kernel, got, ram)
			}
			if got := g.ReadFile("/sys/kernel/kexec_loaded"); got != "0\n" {
				t.Errorf("kexec_loaded is %q in the new kernel; want 0", got)
			}
			// The second kernel's initramfs is another one, without the files of the first.
			if i == 0 {
				g.Must("gokexec", "version")
			}
		}
		g.Reboot("poweroff")
		if end := g.WaitEnd(); end.Reason != "guest-shutdown" {
			t.Errorf("the machine ended by %q; want guest-shutdown", end.Reason)
		}
	}, "bookworm-cloud", "backports-cloud")
}

// Under UEFI the next kernel gets the runtime services, at the virtual addresses
// that they were moved to.
func TestVMBootSegmentsUEFI(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, vmlab.Config{Kernel: k, Firmware: "uefi", Files: []vmlab.File{
			vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
			{Path: guestKernel, Source: k.Image}, {Path: "/boot/initrd", Data: agentInitramfs(t, k)},
		}})
		first := runtimeMap(t, g)
		if len(first) == 0 {
			t.Fatal("the first kernel has no runtime map; the test would prove nothing")
		}
		g.Must(gokexec, "load", "--boot", guestKernel, "--initrd", "/boot/initrd", "--method", "segments", "--cmdline", g.VM.Config.AgentCmdline())
		g.Start(gokexec, "exec", "--force")
		g.WaitHello()
		if second := runtimeMap(t, g); !slices.Equal(second, first) {
			t.Errorf("the second kernel has the EFI runtime map %q; want %q", second, first)
		}
		if g.ReadFile("/sys/firmware/efi/fw_platform_size") != "64\n" {
			t.Error("the second kernel knows of no EFI")
		}
	}, "bookworm-cloud", "backports-cloud")
}

func runtimeMap(t *testing.T, g *vmlab.Guest) []string {
	t.Helper()
	dirs, err := g.VM.Glob(t.Context(), "/sys/firmware/efi/runtime-map/*")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, dir := range dirs {
		line := ""
		for _, name := range []string{"type", "phys_addr", "virt_addr", "num_pages", "attribute"} {
			line += strings.TrimSpace(g.ReadFile(dir+"/"+name)) + " "
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// secondInitramfs has the agent, and what the second kernel needs to load a third.
func secondInitramfs(t *testing.T, k *vmlab.Kernel) string {
	t.Helper()
	files, err := vmlab.AgentFiles(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	inner := vmlinux(t, k)
	inner.Path = "/next/vmlinux"
	third, err := vmlab.Initramfs(files...)
	if err != nil {
		t.Fatal(err)
	}
	return initramfsFile(t, append(files, inner, vmlab.File{Path: "/boot/initrd", Data: third},
		vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)))...)
}

func initramfsFile(t *testing.T, files ...vmlab.File) string {
	t.Helper()
	b, err := vmlab.Initramfs(files...)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "initramfs.cpio")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bootRAM is what the guest's kernel calls RAM.
func bootRAM(t *testing.T, g *vmlab.Guest) memmap.Set {
	t.Helper()
	iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
	if err != nil {
		t.Fatal(err)
	}
	return iomem.BootRAM()
}

// A segment that is changed after the load is caught: the purgatory says so and
// stops, and the crash kernel is not started.
func TestVMPurgatoryCatches(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, crashMachine(t, k))
		args := []string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0", "--method", "segments", "--serial", "ttyS0"}
		catchChange(t, g, args)
	}, "backports-cloud")
}

// catchChange loads by args, changes a bit of the initrd, and crashes: the purgatory
// says so, and nothing comes after.
func catchChange(t *testing.T, g *vmlab.Guest, args []string) {
	t.Helper()
	var plan struct {
		Load struct {
			Segments []struct {
				Role  string `json:"role"`
				Start int64  `json:"start"`
				Size  int64  `json:"memory_bytes"`
			} `json:"segments"`
		} `json:"kexec_load"`
	}
	if err := json.Unmarshal([]byte(g.Must(append(args, "--dry-run", "--json")...)), &plan); err != nil {
		t.Fatal(err)
	}
	g.Must(args...)
	for _, s := range plan.Load.Segments {
		if s.Role != "initrd" {
			continue
		}
		b := make([]byte, 1)
		at := s.Start + s.Size/2
		if _, err := g.VM.Physical().ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0x10
		if _, err := g.VM.Physical().WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	g.Crash()
	g.Eventually("the purgatory catches it", func() string {
		if strings.Contains(g.VM.Console(), purgatory.MismatchText) {
			return ""
		}
		return fmt.Sprintf("the console does not say %q", purgatory.MismatchText)
	})
	time.Sleep(2 * time.Second)
	if _, after, _ := strings.Cut(g.VM.Console(), purgatory.MismatchText); strings.TrimSpace(after) != "" {
		t.Errorf("after the mismatch the console goes on: %q", after)
	}
}
