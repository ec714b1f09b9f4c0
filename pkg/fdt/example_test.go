package fdt_test

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/fdt"
)

// A kernel is told its command line in /chosen.
func Example() {
	t := &fdt.Tree{Root: &fdt.Node{}}
	t.Root.Make("chosen").SetString("bootargs", "console=ttyAMA0")
	b, err := t.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	t, err = fdt.Parse(b)
	if err != nil {
		panic(err)
	}
	args, _ := t.Root.Child("chosen").Property("bootargs")
	fmt.Printf("%d bytes, bootargs %q\n", len(b), args)
	// Output: 125 bytes, bootargs "console=ttyAMA0\x00"
}
