package kdumpfile_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// A dump without VMCOREINFO is read by one that is given.
func TestDescribe(t *testing.T) {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	m.AddLinux("6.12.0", 64, func(uint64) int { return dumptest.PageKernel })
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 6, SizeBits: 11})
	r.Add(dumptest.Entry{Text: []byte("a line")}, dumptest.Finalized)
	r.Store()
	core := m.Core()
	at := slices.IndexFunc(core.Notes, func(n dumptest.Note) bool { return n.Name == "VMCOREINFO" })
	text := core.Notes[at].Desc
	core.Notes = slices.Delete(core.Notes, at, at+1)
	for i := range core.Loads {
		core.Loads[i].Virt = 0 // as of a dump by a hypervisor
	}
	d, err := kdumpfile.Open(bytes.NewReader(core.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := printk.Read(d); !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
		t.Fatalf("Read() = %v; want vmcore.ErrNoVMCoreInfo", err)
	}
	info, err := vmcore.ParseVMCoreInfo(text)
	if err != nil {
		t.Fatal(err)
	}
	d = kdumpfile.Describe(d, info)
	if got := dumptest.LogText(t, d); got != "[    0.000000] a line\n" {
		t.Errorf("the log is %q", got)
	}
	if _, err := d.ReadVirtAt(make([]byte, 8), 0x1000); !errors.Is(err, vmcore.ErrNotInDump) {
		t.Errorf("ReadVirtAt of an address that nothing maps = %v; want vmcore.ErrNotInDump", err)
	}
	var w memoryFile
	w.limit = 1 << 30
	if _, err := kdumpfile.WriteCompressed(t.Context(), &w, d, kdumpfile.WriteOptions{Codec: kdumpfile.CodecZlib}); err != nil {
		t.Error(err)
	}
}
