package memmap_test

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// What a dump of this machine would hold, and where a page of it could go.
func Example() {
	iomem, err := memmap.ParseIomem(strings.NewReader(`00001000-0009fbff : System RAM
00100000-1ffdffff : System RAM
  02200000-03ffffff : Kernel code
  15000000-1cffffff : Crash kernel
100000000-17fffffff : dax0.0
  100000000-17fffffff : System RAM (kmem)
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	crash := memmap.NewSet(iomem.CrashKernel()...)
	fmt.Println(iomem.SystemRAM().Minus(crash))
	fmt.Println(crash.Place(memmap.Hole{Size: 0x1000, Align: 0x1000, TopDown: true}))
	// Output:
	// [0x1000-0x9fc00) [0x100000-0x15000000) [0x1d000000-0x1ffe0000) [0x100000000-0x180000000)
	// [0x1cfff000-0x1d000000) <nil>
}
