// Command isstatic fails unless each program named is statically linked: the
// build's own check that gokexec runs where there is no libc.
package main

import (
	"debug/elf"
	"fmt"
	"os"
)

func main() {
	for _, name := range os.Args[1:] {
		if err := check(name); err != nil {
			fmt.Fprintf(os.Stderr, "isstatic: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

func check(name string) error {
	f, err := elf.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("it asks for a dynamic linker (PT_INTERP); was it built with CGO_ENABLED=0?")
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	if len(libs) > 0 {
		return fmt.Errorf("it needs %v", libs)
	}
	return nil
}
