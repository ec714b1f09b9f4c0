package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Dumps of crashes, to try a report on, are left in a directory: GOKEXEC_VM_CRASHES=DIR saves DIR/KERNEL-CRASH/vmcore
// and log for each crash on each kernel of the matrix, or for those that GOKEXEC_VM_KINDS names. What is there already
// is kept. The test fails where a machine does not crash.
func TestVMReportSave(t *testing.T) {
	out := os.Getenv("GOKEXEC_VM_CRASHES")
	if out == "" {
		t.Skip("not in this run: it needs GOKEXEC_VM_CRASHES")
	}
	only := named()
	for _, name := range vmlab.MatrixNames() {
		for _, c := range crashes() {
			if len(only) > 0 && !slices.Contains(only, c.name) {
				continue
			}
			t.Run(name+"-"+c.name, func(t *testing.T) {
				dir := filepath.Join(out, name+"-"+c.name)
				if _, err := os.Stat(dir); err == nil {
					return
				}
				k := vmlab.GetTestKernel(t, name)
				if !c.possible(k.Arch) {
					t.Skip("not on " + k.Arch)
				}
				got := run(t, machine(t, k, c, true), c, 0)
				if err := os.MkdirAll(dir+".new", 0o755); err != nil {
					t.Fatal(err)
				}
				saveMemory(t, got.disk, filepath.Join(dir+".new", capture.VMCoreName))
				if err := os.WriteFile(filepath.Join(dir+".new", "log"), []byte(got.log), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(dir+".new", dir); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// saveMemory copies the whole dump on a disk to a file.
func saveMemory(t *testing.T, disk, name string) {
	t.Helper()
	dump, err := capture.OpenRaw(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	if dump.Incomplete {
		t.Fatalf("the disk has %s; want %s", dump.Name, capture.VMCoreName)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, dump); err != nil {
		t.Fatalf("%s: %v", name, errors.Join(err, f.Close()))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
