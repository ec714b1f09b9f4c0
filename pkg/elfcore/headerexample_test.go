package elfcore_test

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// The header of a small machine, and what a DIMM that came later makes of it.
// ReadMachine fills in the same for a real one.
func ExampleBuild() {
	iomem, err := memmap.ParseIomem(strings.NewReader(`00001000-0009fbff : System RAM
00100000-1ffdffff : System RAM
  02200000-03ffffff : Kernel code
  15000000-1cffffff : Crash kernel
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	machine := &kcore.Machine{
		Iomem:      iomem,
		CPUs:       []kcore.CPUNotes{{CPU: 0, Notes: elfcore.NoteRange{Addr: 0x1f001000, Size: 504}}},
		VMCoreInfo: elfcore.NoteRange{Addr: 0x2a3000, Size: 0x1024},
		Map: &elfcore.KernelMap{
			Machine: elf.EM_X86_64, Class: elf.ELFCLASS64, Order: binary.LittleEndian,
			Direct: 0xffff888000000000,
			Text:   elfcore.Load{Phys: 0x2200000, Virt: 0xffffffff82200000, Offset: 0x2200000, FileSize: 0x3700000, MemSize: 0x3700000},
		},
	}
	opt := elfcore.BuildOptions{Exclude: elfcore.LowMiB()}
	loaded, err := machine.Header(opt)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := loaded.AppendBinary(nil)
	fmt.Println(len(b), "bytes", err)
	fmt.Println(loaded.Coverage())

	iomem.Resources = append(iomem.Resources, &memmap.Resource{Start: 0x100000000, Last: 0x13fffffff, Name: "System RAM"})
	wanted, err := machine.Header(opt)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(elfcore.Diff(loaded, wanted, elfcore.LowMiB()))
	// Output:
	// 344 bytes <nil>
	// [0x100000-0x15000000) [0x1d000000-0x1ffe0000)
	// [missing memory: [0x100000000-0x140000000), 1073741824 bytes]
}
