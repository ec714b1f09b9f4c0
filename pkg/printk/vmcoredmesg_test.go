package printk_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/printk"
)

// TestVmcoreDmesg compares WriteText with the program it follows, where kexec-tools is installed.
func TestVmcoreDmesg(t *testing.T) {
	program, err := exec.LookPath("vmcore-dmesg")
	if err != nil {
		t.Skip("vmcore-dmesg of kexec-tools is not in PATH")
	}
	check := func(t *testing.T, m *dumptest.Image, fix func(string) string) {
		t.Helper()
		core := m.Core()
		name := filepath.Join(t.TempDir(), "vmcore")
		if err := os.WriteFile(name, core.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd := exec.Command(program, name)
		cmd.Stderr = &stderr
		want, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", cmd, err, &stderr)
		}
		var got bytes.Buffer
		if _, err := printk.WriteText(&got, open(t, core)); err != nil {
			t.Fatal(err)
		}
		if got.String() != fix(string(want)) {
			t.Errorf("WriteText() = %q; vmcore-dmesg prints %q", &got, want)
		}
	}
	same := func(s string) string { return s }
	t.Run("ring", func(t *testing.T) {
		forRings(t, dumptest.RingConfig{CountBits: 6, SizeBits: 11, Start: 500}, func(t *testing.T, m *dumptest.Image, r *dumptest.Ring) {
			if r.PerfectFit {
				return // vmcore-dmesg is wrong about blocks that fit exactly
			}
			all := make([]byte, 255)
			for i := range all {
				all[i] = byte(i + 1)
			}
			for i := range 70 {
				r.Add(entry(i, i*5%200), dumptest.Finalized)
			}
			r.Add(dumptest.Entry{Text: all, Time: 1 << 60}, dumptest.Finalized)
			r.Add(entry(71, 20), dumptest.Reserved)
			for i := range 40 {
				r.Add(entry(i, 100), dumptest.Finalized) // some find no room
			}
			r.Add(entry(200, 100), dumptest.Committed)
			r.Store()
			check(t, m, same)
		})
	})
	t.Run("records", func(t *testing.T) {
		forRecordLogs(t, 4096, func(t *testing.T, m *dumptest.Image, l *dumptest.RecordLog) {
			for i := range 200 {
				e := entry(i+1, 1+i*5%120)
				e.Text[0] = byte(i)
				l.Add(e, i%9)
			}
			l.Store()
			// It takes the marker at the end of the buffer for a record.
			check(t, m, func(s string) string { return strings.Replace(s, "[    0.000000] \n", "", 1) })
		})
	})
	t.Run("bytes", func(t *testing.T) {
		for _, arch := range dumptest.Archs {
			m := dumptest.NewImage(arch, "2.6.32")
			dumptest.ByteRing(m, 1024, 700, bytes.Repeat([]byte("<6>[    1.000000] line \x1b\xff\n"), 100))
			check(t, m, same)
		}
	})
}
