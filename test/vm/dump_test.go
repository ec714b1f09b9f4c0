package vm

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// savedDump is what a capture left on a raw disk.
type savedDump struct {
	*capture.Dump
	disk   string
	dump   kdumpfile.Dump
	core   *elfcore.File // of an ELF dump
	log    string
	result capture.Result
}

// openDump reads the disk in place; anything that is missing is a failure.
func openDump(t *testing.T, disk string) *savedDump {
	t.Helper()
	d := &savedDump{disk: disk}
	entries := readTar(t, disk)
	d.log = string(entries[capture.LogName])
	if err := json.Unmarshal(entries[capture.ResultName], &d.result); err != nil {
		t.Fatalf("%s: %v", capture.ResultName, err)
	}
	var err error
	if d.Dump, err = capture.OpenRaw(disk); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if d.dump, err = kdumpfile.Open(d.Dump); err != nil {
		t.Fatal(err)
	}
	if core, ok := d.dump.(*kdumpfile.ELF); ok {
		d.core = core.File
	}
	return d
}

// readTar returns the small entries of a tar stream, by name.
func readTar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatalf("tar on the disk, after %d entries: %v", len(entries), err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // the comment that aligns the dump
		}
		if h.Mode != 0o600 {
			t.Errorf("%s has mode %#o; want 0600", h.Name, h.Mode)
		}
		entries[h.Name] = nil
		if h.Size < 16<<20 {
			if entries[h.Name], err = io.ReadAll(tr); err != nil {
				t.Fatalf("tar entry %s: %v", h.Name, err)
			}
		}
	}
}

// checkNonce holds every page of the nonce against the dump, twice: by
// physical address through our reader, and by a scan that knows no ELF.
func (d *savedDump) checkNonce(t *testing.T, n *vmlab.Nonce) {
	t.Helper()
	if err := checkNonce(d.dump, n); err != nil {
		t.Error(err)
	}
	disk, err := os.Open(d.disk)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	count, err := n.CountIn(disk)
	if err != nil || count != len(n.Phys) {
		t.Errorf("a scan of the dump finds %d pages of the nonce, %v; want %d", count, err, len(n.Phys))
	}
}

// checkNonce holds every page of the nonce against a dump.
func checkNonce(d kdumpfile.Dump, n *vmlab.Nonce) error {
	err := n.Check(func(b []byte, phys uint64) error {
		_, err := d.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	})
	if err != nil {
		err = fmt.Errorf("nonce: %w", err)
	}
	return err
}

// checkRanges holds the memory that the dump knows of against the machine's memory: all of
// System RAM less the crash memory, and on x86 less the low 1 MiB, which the
// kernel leaves out of a header of its own, and less what else is named.
func (d *savedDump) checkRanges(t *testing.T, iomem *memmap.Iomem, lowIncluded bool, without ...memmap.Range) {
	t.Helper()
	want := iomem.SystemRAM().Minus(memmap.NewSet(iomem.CrashKernel()...)).Minus(memmap.NewSet(without...))
	if !lowIncluded {
		want = want.Minus(memmap.NewSet(memmap.Range{End: 1 << 20}))
	}
	var loads []memmap.Range
	for addr := memmap.PhysAddr(0); ; {
		r, err := d.dump.NextMemory(addr)
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		loads, addr = append(loads, r), r.End
	}
	got := memmap.NewSet(loads...)
	if missing := want.Minus(got); missing.Size() != 0 {
		t.Errorf("the dump lacks %v", missing.Ranges())
	}
	// /proc/vmcore rounds each range out to pages.
	for _, r := range got.Minus(want).Ranges() {
		if r.Size() >= 4096 {
			t.Errorf("the dump has %v, which is no memory of the machine", r)
		}
	}
}

// moduleAddresses tells where the guest's kernel has the struct module of each loaded module.
func moduleAddresses(t *testing.T, g *vmlab.Guest) map[string]uint64 {
	t.Helper()
	const head, tail = "/sys/module/", "/sections/.gnu.linkonce.this_module"
	addrs := map[string]uint64{}
	for _, path := range g.Glob(head + "*" + tail) {
		addr, err := strconv.ParseUint(strings.TrimSpace(g.ReadFile(path)), 0, 64)
		if err != nil || addr == 0 {
			t.Fatalf("%s: %#x, %v; want an address", path, addr, err)
		}
		addrs[strings.TrimSuffix(strings.TrimPrefix(path, head), tail)] = addr
	}
	if len(addrs) == 0 && g.VM.Config.Kernel.ModulesRoot != "" {
		t.Error("the guest has no modules; page tables are not tested")
	}
	return addrs
}

// checkModules reads the modules' names out of the dump. No PT_LOAD has their addresses, so
// that the kernel's page tables are walked.
func (d *savedDump) checkModules(t *testing.T, addrs map[string]uint64) {
	t.Helper()
	for name, addr := range addrs {
		const nameOffset = 24 // in struct module, after state and list (include/linux/module.h)
		b := make([]byte, 56)
		if _, err := d.dump.ReadVirtAt(b, addr+nameOffset); err != nil || vmcore.CString(b) != name {
			t.Errorf("module %s at %#x: the dump has the name %q, %v", name, addr, b, err)
		}
	}
}
