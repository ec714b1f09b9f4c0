package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
)

// chooseInit finds the gokexec that becomes init. For another architecture than
// this program's it is the file gokexec-GOARCH in the same directory, which is what make
// cross calls it, unless --init names one.
func (o *initramfsOptions) chooseInit() error {
	if o.arch == "" {
		return nil
	}
	arch, err := machine.ArchByName(o.arch)
	if err != nil {
		return usageError("--arch: %w", err)
	}
	native, err := machine.NativeArch()
	if err != nil {
		return err
	}
	if o.init == selfExecutable && arch.Name != native.Name {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find gokexec for %s: %w", arch.Name, err)
		}
		o.init = filepath.Join(filepath.Dir(self), "gokexec-"+arch.GOARCH)
		if _, err := os.Stat(o.init); errors.Is(err, fs.ErrNotExist) {
			return &advice.Problem{What: fmt.Sprintf("no gokexec for %s: %s is not there", arch.Name, o.init), Err: err,
				Hint: "build one (CGO_ENABLED=0 GOARCH=" + arch.GOARCH + " go build, or make cross) and name it with --init"}
		}
	}
	return o.checkInit(arch)
}

// checkInit refuses a program that the machine would not run.
func (o *initramfsOptions) checkInit(arch machine.Arch) error {
	f, err := os.Open(o.init)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 20)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:4]) != elf.ELFMAG {
		return &advice.Problem{What: o.init + " is not an ELF program", Hint: "give the gokexec for " + arch.Name + " with --init"}
	}
	machine := elf.Machine(uint16(head[18]) | uint16(head[19])<<8)
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		machine = elf.Machine(uint16(head[19]) | uint16(head[18])<<8)
	}
	if machine != arch.Machine {
		return &advice.Problem{What: fmt.Sprintf("%s is for %s, not for %s", o.init, bootimage.MachineName(machine), arch.Name),
			Hint: "give the gokexec for " + arch.Name + " with --init"}
	}
	return nil
}
