package vm

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/recordfs"
	"github.com/gokexec/gokexec/internal/vmlab"
)

// The plan that is made of a collected tree, elsewhere, is the machine's own.
// With GOKEXEC_MACHINES the trees are kept in that directory, for test/differential.
func TestVMCollect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		kernel string
		change func(t *testing.T, k *vmlab.Kernel, cfg *vmlab.Config)
		before func(t *testing.T, g *vmlab.Guest)
	}{
		{name: "pc-bios-6.1", kernel: "bookworm-cloud", change: func(_ *testing.T, _ *vmlab.Kernel, cfg *vmlab.Config) { cfg.Machine = "pc" }},
		{name: "q35-uefi-4cpus-7.3", kernel: "backports-cloud", change: func(_ *testing.T, _ *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.Firmware, cfg.CPUs = "uefi", 4
		}},
		{name: "q35-high-nokaslr-6.12", kernel: "trixie-cloud", change: func(_ *testing.T, _ *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.Memory, cfg.CrashKernel, cfg.Cmdline, cfg.CPUFlags = 2816, "160M,high", "nokaslr", []string{"-la57"}
		}},
		{name: "q35-ranges-6.12", kernel: "trixie-cloud", change: func(_ *testing.T, _ *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.Memory, cfg.Cmdline = 1024, manyRanges()
		}},
		{name: "q35-numa-dimms-6.12", kernel: "trixie-generic", change: func(_ *testing.T, _ *vmlab.Kernel, cfg *vmlab.Config) {
			cfg.MaxMemory, cfg.CPUs, cfg.MaxCPUs, cfg.Cmdline = 16384, 2, 4, "memhp_default_state=online_movable"
		}, before: func(t *testing.T, g *vmlab.Guest) {
			for i := range 6 {
				if err := g.VM.AddDIMM(t.Context(), fmt.Sprint("dimm", i), 256); err != nil {
					t.Fatal(err)
				}
			}
			shell(g, "until busybox grep -qi '15fffffff : System RAM' /proc/iomem; do busybox usleep 20000; done")
			// Holes in memory and in the CPUs that are online.
			if err := g.VM.RemoveDIMM(t.Context(), "dimm2"); err != nil {
				t.Fatal(err)
			}
			shell(g, "until busybox grep -qi '11fffffff : System RAM' /proc/iomem; do busybox usleep 20000; done; echo 0 >/sys/devices/system/cpu/cpu1/online")
		}},
	}
	kernels := map[string]bool{}
	for _, name := range vmlab.MatrixNames() {
		kernels[name] = true
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !kernels[tt.kernel] {
				t.Logf("%s is not in the matrix", tt.kernel)
				return
			}
			k := vmlab.GetTestKernel(t, tt.kernel)
			cfg := crashMachine(t, k)
			tt.change(t, k, &cfg)
			initrd := cfg.Files[len(cfg.Files)-1].Source
			g := vmlab.Boot(t, cfg)
			if tt.before != nil {
				tt.before(t, g)
			}
			for _, kind := range []string{"--crash", "--boot"} {
				load := []string{"load", kind, "--append", "console=ttyS0", "--method", "segments", "--dry-run", "--json"}
				want := planOf(t, []byte(g.Must(append(append([]string{gokexec}, load...), guestKernel, "--initrd", guestInitrd)...)))
				dir := collect(t, g, tt.name)
				load = append(load, k.Image, "--initrd", initrd, "--sysroot", dir, "--arch", "x86_64")
				out, err := exec.Command(vmlab.BuildTest(t, "./cmd/gokexec", "amd64"), load...).Output()
				if err != nil {
					t.Fatalf("%s: %v", strings.Join(load, " "), err)
				}
				if got := planOf(t, out); !reflect.DeepEqual(got, want) {
					t.Errorf("the plan made of the collected tree is\n%v\nwant the machine's own,\n%v", got, want)
				}
			}
		})
	}
}

// planOf is what a dry run would hand to the kernel.
func planOf(t *testing.T, out []byte) map[string]any {
	t.Helper()
	var plan struct {
		Load map[string]any `json:"kexec_load"`
	}
	if err := json.Unmarshal(out, &plan); err != nil || len(plan.Load) == 0 {
		t.Fatalf("no plan in %s: %v", out, err)
	}
	return plan.Load
}

// collect has the guest record itself, and unpacks the record.
func collect(t *testing.T, g *vmlab.Guest, name string) string {
	t.Helper()
	g.Must(gokexec, "collect", "/tmp/machine.tar")
	archive := g.ReadFile("/tmp/machine.tar")
	dir := t.TempDir()
	if err := recordfs.Unpack(strings.NewReader(archive), dir); err != nil {
		t.Fatal(err)
	}
	keep := os.Getenv("GOKEXEC_MACHINES")
	if keep == "" {
		return dir
	}
	f, err := os.Create(filepath.Join(keep, name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = z.Write([]byte(archive)); err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
