package purgatory_test

import (
	"debug/elf"
	"fmt"

	"github.com/gokexec/gokexec/internal/purgatory"
)

// The segments of a crash kernel are in place; this is the one that checks them.
func Example() {
	kernel := purgatory.Segment{Data: []byte("kernel"), MemSize: 0x4000}
	initrd := purgatory.Segment{Data: []byte("initrd"), MemSize: 0x2000}
	digest, err := purgatory.Digest([]purgatory.Segment{kernel, initrd})
	if err != nil {
		panic(err)
	}
	params := purgatory.Params{
		Entry:   0x2f000200, // the kernel's startup_64
		Arg:     0x2effe000, // boot_params
		Regions: []purgatory.Region{{Start: 0x2f000000, Len: 0x4000}, {Start: 0x2f100000, Len: 0x2000}},
		Digest:  digest,
		Serial:  purgatory.Serial{Kind: purgatory.Serial8250Port, Addr: 0x3f8},
	}
	blob, err := purgatory.Blob(elf.EM_X86_64)
	if err != nil {
		panic(err)
	}
	if err := params.Patch(elf.EM_X86_64, blob); err != nil {
		panic(err)
	}
	memSize, err := purgatory.MemSize(elf.EM_X86_64)
	fmt.Println(len(blob) < 4096, memSize, err)
	// Output: true 8192 <nil>
}
