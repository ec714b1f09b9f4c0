package elfcore_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
)

// A dump is opened and the kernel's release string read from its memory.
func ExampleNew() {
	dump := (&dumptest.Core{ // in real life an *os.File of /proc/vmcore
		Class: elf.ELFCLASS64, Order: binary.LittleEndian, Machine: elf.EM_X86_64,
		Notes: []dumptest.Note{{Name: "VMCOREINFO", Desc: []byte("OSRELEASE=6.12.107\nSYMBOL(banner)=ffffffff82000040\n")}},
		Loads: []dumptest.Load{{Phys: 0x2000000, Virt: 0xffffffff82000000, Data: fmt.Appendf(nil, "%64sLinux version 6.12.107", "")}},
	}).Bytes()

	f, err := elfcore.New(bytes.NewReader(dump), int64(len(dump)))
	if err != nil {
		log.Fatal(err)
	}
	info, err := f.VMCoreInfo()
	if err != nil {
		log.Fatal(err)
	}
	addr, _ := info.Symbol("banner")
	text := make([]byte, 22)
	if _, err := f.ReadVirtAt(text, addr); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v, %s: %s\n", f.Machine, info.OSRelease, text)
	// Output: EM_X86_64, 6.12.107: Linux version 6.12.107
}
