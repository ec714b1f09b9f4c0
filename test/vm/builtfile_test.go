package vm

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// builtKernels are those that have kexec_file_load.
var builtKernels = []string{"built-arm64", "built-arm64-64k", "built-riscv64"}

// kernelForm is a kernel image as it may lie on a disk.
type kernelForm struct {
	name    string
	content []byte
}

// kernelForms are the kernel in each form that its architecture has.
func kernelForms(t *testing.T, k *vmlab.Kernel) []kernelForm {
	t.Helper()
	image := readHostFile(t, k.Image)
	compress := func(codec string) []byte {
		b := imagetest.Compress(t, codec, image)
		return b
	}
	machine := map[string]uint16{"arm64": 0xaa64, "riscv64": 0x5064}[k.Arch]
	forms := []kernelForm{
		{"Image", image}, {"Image.gz", compress("gzip")}, {"zboot", imagetest.Zboot(compress("zstd"), "zstd", uint32(len(image)))},
		{"uki.efi", imagetest.PE(machine, imagetest.Section{Name: ".linux", Data: image})},
	}
	if k.Arch == "riscv64" {
		forms = append(forms, kernelForm{"vmlinux", withoutEmptyLoads(t, k)})
	}
	return forms
}

// withoutEmptyLoads is a vmlinux less what misleads the kernel: see
// bootimage.ELF.CheckKexecRISCV.
func withoutEmptyLoads(t *testing.T, k *vmlab.Kernel) []byte {
	t.Helper()
	b := readHostFile(t, k.ELF)
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	const phoff, phentsize = 64, 56
	for i, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Memsz == 0 {
			f.ByteOrder.PutUint32(b[phoff+i*phentsize:], uint32(elf.PT_NULL))
		}
	}
	return b
}

// The vmlinux as it was built kexec_file_load on riscv64 would enter at a wrong
// address: auto takes segments, which it starts from.
func TestVMBuiltELF(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Firmware = "opensbi"
		cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/vmlinux", Source: k.ELF})
		g := vmlab.Boot(t, cfg)
		load := []string{"load", "--crash", "/boot/vmlinux", "--initrd", guestInitrd, "--append", k.ConsoleArg()}
		checkRefusals(t, g, "0", []refusal{{"by kexec_file_load", append(load, "--method", "file"), 1, "would be entered at a wrong address", "--method segments"}})
		if said := g.Must(append([]string{gokexec}, load...)...); !strings.Contains(said, "by kexec_load") || !strings.Contains(said, "wrong address") {
			t.Errorf("load says %q; want that it is by kexec_load, and why", said)
		}
		crashSegments(t, g)
	}, "built-riscv64")
}

// The main job by kexec_file_load, which auto chooses where it is. The header is the
// kernel's own: it is held against gokexec's, in both directions.
func TestVMBuiltFileCrash(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Memory = 768
		if k.Arch == "riscv64" {
			cfg.Firmware = "opensbi" // QEMU 7.2's is older than 1.3: see TestVMBuiltFirmware
		}
		forms := kernelForms(t, k)
		for _, f := range forms {
			cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/" + f.name, Source: hostFile(t, f.name, f.content)})
		}
		cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/nothing", Data: []byte(strings.Repeat("no kernel ", 1000))})
		g := vmlab.Boot(t, cfg)
		load := func(kernel string, more ...string) vmlab.Result {
			return g.Run(append([]string{gokexec, "load", "--crash", kernel, "--initrd", guestInitrd, "--append", k.ConsoleArg()}, more...)...)
		}
		for _, f := range forms {
			r := load("/boot/" + f.name)
			if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_file_load") {
				t.Fatalf("load %s: exit code %d\n%s%s\nwant 0, by kexec_file_load", f.name, r.Code, r.Stdout, r.Stderr)
			}
			if s := readStatus(t, g); !s.CrashLoaded || s.Header.Accuracy != "accurate" {
				t.Errorf("status after loading %s: %+v; want an accurate header", f.name, s)
			}
			g.Must(gokexec, "unload", "--crash")
		}
		for _, method := range []string{"file", "auto", "segments"} {
			if r := load("/boot/nothing", "--method", method); r.Code == 0 || readStatus(t, g).CrashLoaded {
				t.Errorf("load /boot/nothing --method %s: exit code %d, %s; want a refusal, and nothing loaded", method, r.Code, r.Stdout)
			}
		}
		// By kexec_load, then by kexec_file_load over it: the kernel makes the same header.
		if r := load(guestKernel, "--method", "segments"); r.Code != 0 {
			t.Fatalf("load --method segments: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		ours := readHeader(t, g, "show", "--loaded")
		last := forms[len(forms)-1]
		if r := load("/boot/"+last.name, "--method", "file"); r.Code != 0 {
			t.Fatalf("load --method file: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		ours.checkAgainstKernels(t, readHeader(t, g, "show", "--loaded"))
		crashSegments(t, g)
	}, builtKernels...)
}

// Firmware before OpenSBI 1.3 has the kernel take its memory for RAM, and put it into
// a header of its own, where reading fails: auto takes segments, and says why; by kexec_file_load
// a dump is made that lacks those pages alone, with a warning beforehand.
func TestVMBuiltFirmware(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, archMachine(t, k))
		load := []string{gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg()}
		r := g.Run(load...)
		if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_load") {
			t.Errorf("load: exit code %d\n%s%s\nwant 0, by kexec_load", r.Code, r.Stdout, r.Stderr)
		}
		r = g.Run(append(load, "--method", "file")...)
		if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_file_load") || !strings.Contains(r.Stderr, "memory of the firmware, which can't be read") {
			t.Errorf("load --method file: exit code %d\n%s%s\nwant 0, by kexec_file_load, and a warning", r.Code, r.Stdout, r.Stderr)
		}
		if s := readStatus(t, g); s.Header.Accuracy != "accurate" {
			t.Errorf("status: %+v; want accurate", s)
		}
		nonce := g.Plant(200)
		g.Crash()
		g.WaitEnd()
		d := openDump(t, g.VM.Disk(0))
		if want := 0x80000 / 4096; d.result.Outcome != capture.Incomplete || d.result.VMCore.IncompletePages != int64(want) {
			t.Errorf("result = %+v; want all but %d pages", d.result, want)
		}
		d.checkNonce(t, nonce)
	}, "built-riscv64")
}

// An ordinary kexec by kexec_file_load, and what that kernel loads in turn.
func TestVMBuiltFileBoot(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := vmlab.Config{Kernel: k, Memory: 1024, CPUs: 2}
		if k.Arch == "arm64" {
			cfg.Machine = "virt,gic-version=3,its=off"
		}
		cfg.Files = []vmlab.File{vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
			{Path: guestKernel, Source: k.Image}, {Path: "/boot/initrd", Source: chainInitramfs(t, k)}}
		g := vmlab.Boot(t, cfg)
		ram := bootRAM(t, g)
		for _, method := range []string{"file", "segments"} {
			said := g.Must(gokexec, "load", "--boot", guestKernel, "--initrd", "/boot/initrd", "--method", method, "--cmdline", g.VM.Config.AgentCmdline()+" by="+method)
			if want := map[string]string{"file": "by kexec_file_load", "segments": "by kexec_load"}[method]; !strings.Contains(said, want) {
				t.Errorf("load says %q; want %q", said, want)
			}
			last := g.VM.Hello.BootID
			g.Start(gokexec, "exec", "--force")
			g.VM.Hello = g.WaitHello()
			if g.VM.Hello.BootID == last || !strings.Contains(g.VM.Hello.Cmdline, "by="+method) {
				t.Fatalf("by %s: the next kernel is %+v; want another boot, with the new command line", method, g.VM.Hello)
			}
			if got := bootRAM(t, g); !got.Equal(ram) {
				t.Errorf("by %s: the next kernel sees RAM at %v; want %v", method, got, ram)
			}
		}
		g.Reboot("poweroff")
		g.WaitEnd()
	}, builtKernels...)
}

func readHostFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hostFile is a file of the host, for what is too large for the channel.
func hostFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
