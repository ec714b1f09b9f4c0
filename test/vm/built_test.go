package vm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// UEFI, ACPI and a DIMM that comes, where Debian's kernels can't be: by
// kexec_file_load on arm64, which the reload takes too, and with pages of 64 KiB.
func TestVMBuiltUEFI(t *testing.T) {
	methods := map[string]string{"built-arm64": "file", "built-arm64-64k": "segments"}
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Firmware, cfg.Memory, cfg.MaxMemory, cfg.Cmdline = "uefi", 1024, 8192, "memhp_default_state=online"
		cfg.CPU = "max,pauth-impdef=on" // 52 bits of address
		g := vmlab.Boot(t, cfg)
		g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg(), "--method", methods[k.Name])
		// With pages of 64 KiB a block of memory has 512 MiB.
		crashWithDIMM(t, g, 1024)
	}, "built-arm64", "built-arm64-64k")
}

// crashWithDIMM adds a DIMM to a machine whose crash kernel is loaded: status says that
// the header is stale, hotplug loads again, and the DIMM is in the dump.
func crashWithDIMM(t *testing.T, g *vmlab.Guest, mebibytes int) {
	t.Helper()
	if s := readStatus(t, g); s.Header.Accuracy != "accurate" {
		t.Errorf("status before the DIMM: %+v; want accurate", s)
	}
	before := readHeader(t, g, "show", "--loaded").memory()
	if err := g.VM.AddDIMM(t.Context(), "d0", mebibytes); err != nil {
		t.Fatal(err)
	}
	added := waitMore(t, g, before, uint64(mebibytes)<<20)
	repair(t, g, added)
	crashWithAdded(t, g, added)
}

// A kernel that checks signatures, locked down: only what is signed is loaded, by
// file; what is refused leaves the crash kernel loaded; and the header is seen.
func TestVMBuiltSigned(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, signedMachine(t, k, "lockdown=integrity"))
		load := func(kernel string, more ...string) []string {
			return append([]string{"load", "--crash", kernel, "--initrd", guestInitrd, "--append", k.ConsoleArg()}, more...)
		}
		refused := []refusal{
			{"unsigned", load("/boot/unsigned"), 1, "kexec_file_load", "lockdown is integrity"},
			{"changed since it was signed", load("/boot/changed"), 1, "kexec_file_load", "signature"},
			{"by kexec_load", load(guestKernel, "--method", "segments"), 1, "lockdown is integrity", "--method file"},
		}
		checkRefusals(t, g, "0", refused)
		r := g.Run(append([]string{gokexec}, load(guestKernel)...)...)
		if r.Code != 0 || !strings.Contains(r.Stdout, "by kexec_file_load") {
			t.Fatalf("load the signed kernel: exit code %d\n%s%s\nwant 0, by kexec_file_load", r.Code, r.Stdout, r.Stderr)
		}
		checkRefusals(t, g, "1", refused)
		if s := readStatus(t, g); s.Header.Accuracy != "accurate" {
			t.Errorf("status: %+v; want accurate", s)
		}
		crashSegments(t, g)
	}, "built-arm64")
}

// Where the kernel hides its memory, status says "unknown" and why, and
// hotplug goes by the memory map: it loads again when memory was hot-added, and only then.
func TestVMBuiltConfidential(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := signedMachine(t, k, "lockdown=confidentiality memhp_default_state=online")
		cfg.MaxMemory = 2048
		cfg.Args = []string{"-object", "memory-backend-ram,id=vmem,size=1G", "-device", "virtio-mem-pci,id=vm0,memdev=vmem,requested-size=0"}
		g := vmlab.Boot(t, cfg)
		g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg())
		hotplug := func(what string, want bool) {
			t.Helper()
			if s := readStatus(t, g); s.Header.Accuracy != "unknown" || s.Header.Reason == "" {
				t.Errorf("status %s: %+v; want unknown, and why", what, s)
			}
			r := g.Run(gokexec, "hotplug")
			if r.Code != 0 || strings.Contains(r.Stderr, "reloading the crash kernel") != want {
				t.Errorf("hotplug %s: exit code %d\n%s; want a reload: %t", what, r.Code, r.Stderr, want)
			}
		}
		hotplug("after the load", false)
		g.HMP(fmt.Sprintf("qom-set vm0 requested-size %d", 256<<20))
		added := waitAdded(t, g, 256<<20)
		hotplug("with memory added", true)
		hotplug("after the reload", false)
		crashWithAdded(t, g, added.Ranges()[0])
	}, "built-arm64")
}

// signedMachine has the kernel signed, where archMachine has it as it was built, and
// ones that are not.
func signedMachine(t *testing.T, k *vmlab.Kernel, cmdline string) vmlab.Config {
	t.Helper()
	cfg := archMachine(t, k)
	cfg.Memory, cfg.Cmdline = 768, cmdline
	changed := bytes.Clone(readHostFile(t, k.Signed))
	changed[len(changed)/2] ^= 1
	cfg.Files = append(cfg.Files, vmlab.File{Path: guestKernel, Source: k.Signed},
		vmlab.File{Path: "/boot/unsigned", Source: k.Image}, vmlab.File{Path: "/boot/changed", Source: hostFile(t, "changed", changed)})
	return cfg
}
