package kdumpfile_test

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/printk"
)

// The log of a dump is printed, whatever form the dump has.
func Example() {
	// In real life io.NewSectionReader(f, 0, size) of an *os.File.
	dump, err := kdumpfile.Open(exampleDump())
	if err != nil {
		log.Fatal(err)
	}
	info, err := dump.VMCoreInfo()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Linux", info.OSRelease, dump.Platform().Machine, "incomplete:", dump.Incomplete())
	kmsg, err := printk.Read(dump)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := printk.WriteText(os.Stdout, kmsg); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Linux 6.12.107 EM_X86_64 incomplete: false
	// [   42.123999] Kernel panic - not syncing: sysrq triggered crash
}

// exampleDump is a flattened dump in the compressed format, as makedumpfile -F -c writes it.
func exampleDump() *bytes.Reader {
	arch := dumptest.Archs[0]
	m := dumptest.NewImage(arch, "6.12.107")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 4, SizeBits: 10})
	r.Add(dumptest.Entry{Time: 42123999000, Text: []byte("Kernel panic - not syncing: sysrq triggered crash")}, dumptest.Finalized)
	r.Store()
	k := dumptest.KDump{Core: m.Core(), Uname: "x86_64", Release: "6.12.107", Version: 6, Word: 8, Align8: 8, BlockSize: 4096,
		PhysBase: arch.Phys - (arch.Virt - 0xffffffff80000000), Pack: pack}
	return bytes.NewReader(dumptest.FlattenFile(k.Bytes(), 4096))
}
