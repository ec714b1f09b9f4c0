package fleet

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// The vector is what systemd-id128 of systemd 252 printed.
func TestMachineID(t *testing.T) {
	tree := fstest.MapFS{"etc/machine-id": {Data: []byte("0123456789abcdef0123456789abcdef\n")}}
	id, err := MachineID(tree)
	if err != nil || len(id) != 32 || id[12] != '4' || strings.Contains(id, "0123456789") {
		t.Errorf("%s, %v", id, err)
	}
	for _, bad := range []string{"", "uninitialized\n", "0123"} {
		if id, err := MachineID(fstest.MapFS{"etc/machine-id": {Data: []byte(bad)}}); err == nil {
			t.Errorf("%q: %s", bad, id)
		}
	}
	out, err := exec.Command("systemd-id128", "machine-id", "--app-specific="+application).Output()
	if err != nil {
		t.Skipf("NOT COMPARED with systemd-id128: %v", err)
	}
	if id, err := MachineID(os.DirFS("/")); err != nil || id != strings.TrimSpace(string(out)) {
		t.Errorf("%s, %v; systemd says %s", id, err, out)
	}
}

func TestNames(t *testing.T) {
	when := time.Date(2026, 11, 30, 4, 0, 0, 0, time.FixedZone("", 3600))
	if id := CrashID("m", when, 0); id != "m-20261130T030000Z" {
		t.Error(id)
	}
	if id := CrashID("m", when, 2); id != "m-20261130T030000Z-2" {
		t.Error(id)
	}
	for fingerprint, want := range map[string]string{
		"kernel-panic_0a1b.x": "kernel-panic_0a1b.x", "../x": "sha256-", ".": "sha256-", "a/b": "sha256-", "a b": "sha256-", strings.Repeat("a", 200): "sha256-",
	} {
		got := fingerprintName(fingerprint)
		if !strings.HasPrefix(got, want) || strings.ContainsAny(got, "/ ") || len(got) > 100 {
			t.Errorf("%q: %q", fingerprint, got)
		}
	}
}
