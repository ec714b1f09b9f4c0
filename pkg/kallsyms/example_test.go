package kallsyms_test

import (
	"fmt"
	"log"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kallsyms"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func Example() {
	// A dump would be opened with kdumpfile.Open; this one is made up.
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	m.SymbolTable(dumptest.SymbolsFromPlace, []dumptest.TableSymbol{
		{Name: "_stext", Type: 'T', Address: m.Virt}, {Name: "panic", Type: 'T', Address: m.Virt + 0x400}, {Name: "vpanic", Type: 'T', Address: m.Virt + 0x480},
	})
	mem, err := vmcore.NewReader(vmcore.NewCache(m.Memory(), 1<<20))
	if err != nil {
		log.Fatal(err)
	}
	symbols, err := kallsyms.Read(mem, "panic")
	if err != nil {
		log.Fatal(err)
	}
	addr, _ := symbols.Symbol("panic")
	s, size, err := symbols.Lookup(addr + 0x12)
	fmt.Printf("%#x is in %s+%#x/%#x, %v\n", addr+0x12, s.Name, 0x12, size, err)
	// Output: 0xffffffff81000412 is in panic+0x12/0x80, <nil>
}
