package vm

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// checkOracles holds our readers against other people's: makedumpfile for the
// log, vmcore-dmesg for the same, readelf for the program headers.
func (d *savedDump) checkOracles(t *testing.T, nonce *vmlab.Nonce) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmcore")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(bufio.NewWriterSize(out, 1<<20), io.NewSectionReader(d.Dump, 0, d.Size())); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	log := path + ".log"
	run(t, "makedumpfile", "--dump-dmesg", path, log)
	theirs, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if string(theirs) != d.log {
		t.Errorf("makedumpfile reads another log; first difference:\n%s", firstDifference(d.log, string(theirs)))
	}
	d.checkReadelf(t, run(t, "readelf", "-lW", path))
	d.checkVmcoreDmesg(t, path, nonce)
}

func firstDifference(ours, theirs string) string {
	a, b := strings.Split(ours, "\n"), strings.Split(theirs, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "line " + strconv.Itoa(i+1) + "\nours:   " + a[i] + "\ntheirs: " + b[i]
		}
	}
	return strconv.Itoa(len(a)) + " lines against " + strconv.Itoa(len(b))
}

// checkReadelf compares every PT_LOAD that readelf prints with ours.
func (d *savedDump) checkReadelf(t *testing.T, text string) {
	t.Helper()
	loads := d.core.Loads
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "LOAD" {
			continue
		}
		if len(loads) == 0 {
			t.Fatalf("readelf has more PT_LOADs than we: %s", line)
		}
		var v [5]uint64
		for i := range v {
			n, err := strconv.ParseUint(strings.TrimPrefix(f[i+1], "0x"), 16, 64)
			if err != nil {
				t.Fatalf("readelf: %q: %v", line, err)
			}
			v[i] = n
		}
		l := loads[0]
		loads = loads[1:]
		if l.Offset != v[0] || l.Virt != v[1] || l.Phys != memmap.PhysAddr(v[2]) || l.FileSize != v[3] || l.MemSize != v[4] {
			t.Errorf("PT_LOAD %+v; readelf says %s", l, strings.TrimSpace(line))
		}
	}
	if len(loads) != 0 {
		t.Errorf("we have %d PT_LOADs more than readelf", len(loads))
	}
}
