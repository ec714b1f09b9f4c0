package vmlab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// DebianSuites lists the suites whose whole Debian tests are to boot: those that
// GOKEXEC_VM_DEBIAN names ("trixie,bookworm"), or all with GOKEXEC_VM_MATRIX=full.
func DebianSuites() []string {
	if names := os.Getenv("GOKEXEC_VM_DEBIAN"); names != "" {
		return strings.Split(names, ",")
	}
	if os.Getenv("GOKEXEC_VM_MATRIX") == "full" {
		return []string{"bookworm", "trixie"}
	}
	return nil
}

// GetTestDebian is GetDebian for a test. It skips the test where the suite is not
// among DebianSuites.
func GetTestDebian(t testing.TB, suiteName string) *Debian {
	t.Helper()
	if !slices.Contains(DebianSuites(), suiteName) {
		t.Skipf("Debian %s is only booted with GOKEXEC_VM_MATRIX=full", suiteName)
	}
	Require(t, "amd64")
	if missing := DebianPrerequisites(); len(missing) > 0 {
		unable(t, "missing %v; %s", missing, InstallHint(missing))
	}
	d, err := GetDebian(t.Context(), suiteName)
	if err != nil {
		unable(t, "%v", err)
	}
	return d
}

// TestDisk is a copy of the installation for a test.
func (d *Debian) TestDisk(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.img")
	if err := d.CopyDisk(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	return file
}
