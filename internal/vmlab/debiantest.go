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

// DebianMatrix runs a test as a subtest for each of the suites that is among
// DebianSuites, on GetDebian's.
func DebianMatrix(t *testing.T, suites []string, test func(t *testing.T, d *Debian)) {
	t.Helper()
	SuiteMatrix(t, suites, func(t *testing.T, suite string) {
		test(t, getTestDebian(t, func() (*Debian, error) { return GetDebian(t.Context(), suite) }))
	})
}

// SuiteMatrix runs a test as a subtest for each of the suites that is among DebianSuites.
func SuiteMatrix(t *testing.T, suites []string, test func(t *testing.T, suite string)) {
	t.Helper()
	t.Parallel()
	run := 0
	for _, name := range suites {
		if slices.Contains(DebianSuites(), name) {
			run++
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, name)
			})
		}
	}
	if run == 0 {
		t.Skipf("not in this run: a complete Debian is booted with GOKEXEC_VM_MATRIX=full, or GOKEXEC_VM_DEBIAN=%s", strings.Join(suites, ","))
	}
}

// TestBootable is GetBootable for a test.
func TestBootable(t *testing.T, suiteName, loader string) *Debian {
	t.Helper()
	return getTestDebian(t, func() (*Debian, error) { return GetBootable(t.Context(), suiteName, loader) })
}

func getTestDebian(t *testing.T, get func() (*Debian, error)) *Debian {
	t.Helper()
	Require(t, "amd64")
	if missing := DebianPrerequisites(); len(missing) > 0 {
		unable(t, "missing %v; %s", missing, InstallHint(missing))
	}
	d, err := get()
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
