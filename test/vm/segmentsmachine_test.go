package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
)

// Crash loads by kexec_load on machines of other kinds.
func TestVMSegmentsMachines(t *testing.T) {
	t.Parallel()
	const oldest, newest = "bookworm-cloud", "backports-cloud"
	tests := []struct {
		name   string
		on     []string // kernels of the full matrix
		more   bool     // not by default
		change func(t *testing.T, k *vmlab.Kernel, cfg *vmlab.Config)
		load   []string // instead of the kernel and its initrd
		check  func(t *testing.T, g *vmlab.Guest)
		// console is what both kernels must say when they boot.
		console string
	}{
		{name: "UEFI, 4 CPUs", on: []string{oldest, newest}, change: func(_ *testing.T, _ *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.Firmware, cfg.CPUs, cfg.Memory = "uefi", 4, 768
		}, console: "efi: EFI v"},
		// RAM ends above 4 GiB: the crash region there has a low one to go with it. Much of
		// the rest is left out, so that there is less to save.
		{name: "q35, vmlinux, above 4 GiB, nokaslr, 4-level page tables", on: []string{newest}, more: true, change: func(t *testing.T, k *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.Machine, cfg.CPUFlags, cfg.Cmdline = "q35", []string{"-la57"}, "nokaslr memmap=1280M$512M"
			cfg.Memory, cfg.CrashKernel = 2816, "160M,high"
			cfg.Files = append(cfg.Files, vmlinux(t, k))
		}, load: []string{guestVMLinux, "--initrd", guestInitrd, "--no-checks"}},
		{name: "pc, many ranges, a UKI", on: []string{oldest, newest}, more: true, change: func(t *testing.T, k *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.Machine, cfg.Memory, cfg.Cmdline = "pc", 1024, manyRanges()
			cfg.Files = append(cfg.Files, uki(t, k, cfg))
		}, load: []string{"/boot/uki.efi"}, check: checkManyRanges},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.more {
				vmlab.NotByDefault(t)
			}
			vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
				cfg := crashMachine(t, k)
				tt.change(t, k, &cfg)
				g := vmlab.Boot(t, cfg)
				load := tt.load
				if load == nil {
					load = []string{guestKernel, "--initrd", guestInitrd}
				}
				argv := append([]string{gokexec, "load", "--crash", "--append", "console=ttyS0", "--method", "segments", "--serial", "ttyS0"}, load...)
				t.Log(g.Must(append(argv, "--dry-run")...))
				g.Must(argv...)
				if tt.check != nil {
					tt.check(t, g)
				}
				crashSegments(t, g)
				if n := strings.Count(g.VM.Console(), tt.console); tt.console != "" && n != 2 {
					t.Errorf("the console has %q %d times; want 2, once per kernel", tt.console, n)
				}
			}, tt.on...)
		})
	}
}

// manyRanges splits the memory into so many ranges that boot_params, with 128,
// can't tell them.
func manyRanges() string {
	var words []string
	for i := range 140 {
		words = append(words, fmt.Sprintf("4K$%dM", 200+2*i))
	}
	return "memmap=" + strings.Join(words, ",")
}

func checkManyRanges(t *testing.T, g *vmlab.Guest) {
	t.Helper()
	var plan struct {
		Method string `json:"method"`
		Why    string `json:"method_reason"`
		Load   struct {
			E820 []struct{ Type string } `json:"e820"`
		} `json:"kexec_load"`
	}
	out := g.Must(gokexec, "load", "--crash", guestKernel, "--initrd", guestInitrd, "--dry-run", "--json")
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Load.E820) <= 128 || plan.Method != "segments" || !strings.Contains(plan.Why, "128 memory ranges at most") {
		t.Errorf("load --method auto takes %s because %q, with %d ranges; want segments, because of more than 128", plan.Method, plan.Why, len(plan.Load.E820))
	}
}

// uki is a unified kernel image of the kernel and the capture initramfs.
func uki(t *testing.T, k *vmlab.Kernel, cfg *vmlab.Config) vmlab.File {
	t.Helper()
	kernel, err := os.ReadFile(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	var initrd []byte
	for _, f := range cfg.Files {
		if f.Path == guestInitrd {
			if initrd, err = os.ReadFile(f.Source); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "uki.efi")
	image := imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: kernel}, imagetest.Section{Name: ".initrd", Data: initrd},
		imagetest.Section{Name: ".cmdline", Data: []byte("from.uki=1")})
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return vmlab.File{Path: "/boot/uki.efi", Source: path}
}
