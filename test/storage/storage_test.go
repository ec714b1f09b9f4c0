package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// Sizes of files, in bytes.
const (
	firstSize = 1 << 20
	dumpSize  = 4 << 20
)

// The laboratory itself: layouts made by Debian's tools, reset while they are written to, assembled by the tools in
// another boot, pass what is asked of them.
func TestVMStorageTools(t *testing.T) {
	onlyAll(t)
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		lab := newStorageLab(t, k, slices.DeleteFunc(allLayouts(), func(l *layout) bool { return l.refused != "" }))
		lab.first(booting{tools: true}, reset)
		lab.second(booting{tools: true, swapped: true}, byTools().save)
		for _, err := range lab.third(dumpWritten()) {
			t.Error(err)
		}
	})
}

// first is the first boot: it makes all layouts and writes to them until end has ended it.
func (lab *storageLab) first(how booting, end func(g *guest)) {
	lab.t.Helper()
	g := lab.boot(how)
	g.partition()
	grow := []string{"guest", "grow"}
	for _, l := range lab.layouts {
		began := time.Now()
		if err := g.makeLayout(l); err != nil {
			lab.t.Fatalf("make %v", err)
		}
		for _, more := range append([]string{""}, l.more...) {
			if !l.idle {
				grow = append(grow, l.dir()+more)
			}
		}
		lab.t.Logf("%s: made in %v", l.name, time.Since(began).Round(time.Millisecond))
	}
	written := &progress{}
	if _, err := g.VM.Start(lab.t.Context(), vmlab.Command{Argv: grow, Stdout: written, Stderr: written}); err != nil {
		lab.t.Fatal(err)
	}
	g.Eventually("all filesystems are written to", func() string {
		grown := written.grown()
		for _, dir := range grow[2:] {
			if grown[dir] < 5 {
				return fmt.Sprintf("%s has %d blocks", dir, grown[dir])
			}
		}
		return ""
	})
	end(g)
	lab.grown = written.grown()
}

// makeLayout makes a layout with its first file.
func (g *guest) makeLayout(l *layout) error {
	if _, err := g.on(l, l.make); err != nil {
		return err
	}
	if err := g.program("write", l.dir()+"/first", l.name, fmt.Sprint(firstSize)); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if l.after == "" {
		return nil
	}
	_, err := g.on(l, l.after)
	return err
}

// reset ends a boot as a power failure does.
func reset(g *guest) {
	g.T.Helper()
	g.HMP("system_reset")
	g.WaitEnd()
}

// assembler assembles layouts in the second boot.
type assembler struct {
	assemble func(g *guest, l *layout) error // leaves it mounted at its directory
	takeDown func(g *guest, l *layout) error // unmounts it, and leaves nothing of it
}

// byTools is how Debian does it.
func byTools() assembler {
	return assembler{
		func(g *guest, l *layout) error {
			_, err := g.on(l, l.up+"\nmkdir -p $top; mount "+l.mount+" $top")
			return err
		},
		func(g *guest, l *layout) error {
			_, err := g.on(l, "umount $top\n"+l.down)
			return err
		},
	}
}

// save saves a dump on a layout.
func (by assembler) save(g *guest, l *layout) error {
	if err := by.assemble(g, l); err != nil {
		return err
	}
	err := g.program("write", l.dir()+"/dump", l.name+" dump", fmt.Sprint(dumpSize))
	return errors.Join(err, by.takeDown(g, l))
}

// dumpWritten is the script that checks the dump of an assembler.
func dumpWritten() string { return fmt.Sprintf("guest compare $top/dump \"$name dump\" %d", dumpSize) }

// second is the boot that stands for the capture kernel. save saves a dump on a layout, and leaves nothing of it.
func (lab *storageLab) second(how booting, save func(g *guest, l *layout) error) {
	lab.t.Helper()
	g := lab.boot(how)
	for _, l := range lab.layouts {
		began := time.Now()
		if err := save(g, l); err != nil {
			lab.t.Errorf("save to %s: %v", l.name, err)
		}
		if err := g.nothingLeft(); err != nil {
			lab.t.Errorf("%s: %v", l.name, err)
		}
		lab.t.Logf("%s: assembled, written to and taken down in %v", l.name, time.Since(began).Round(time.Millisecond))
	}
	g.Reboot("reboot")
	g.WaitEnd()
}

// third is the last boot: what the tools say, and what is in the files. dump is a script that checks the dump.
func (lab *storageLab) third(dump string, files ...vmlab.File) (failed []error) {
	lab.t.Helper()
	g := lab.boot(booting{tools: true, files: files})
	for _, l := range lab.layouts {
		began := time.Now()
		failed = append(failed, g.judge(l, dump)...)
		lab.t.Logf("%s: judged in %v", l.name, time.Since(began).Round(time.Millisecond))
	}
	g.Reboot("poweroff")
	g.WaitEnd()
	return failed
}

// judge lists what is wrong with a layout. The errors begin with its name.
func (g *guest) judge(l *layout, dump string) (failed []error) {
	up := l.up
	if l.refused != "" {
		// No capture has mounted it since the reset, so its journal is not replayed yet.
		up += "\nmkdir -p $top; mount " + l.mount + " $top; umount $top"
		dump = "if ls -d $top/2*Z; then exit 1; fi"
	}
	if _, err := g.on(l, up); err != nil {
		return []error{fmt.Errorf("%w; the tools can't assemble it", err)}
	}
	note := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	for _, v := range l.verdicts {
		note(v(g, l))
	}
	if _, err := g.on(l, "mkdir -p $top; mount -r "+l.mount+" $top"); err != nil {
		return append(failed, err)
	}
	for _, v := range l.mounted {
		note(v(g, l))
	}
	files := fmt.Sprintf("guest compare $top/first $name %d; ", firstSize) + dump
	if !l.idle {
		files += fmt.Sprintf("; guest grown $top %d", g.lab.grown[l.dir()])
	}
	if strings.Contains(l.after+l.late, "later") {
		files += fmt.Sprintf("; guest compare $top/later later %d", firstSize)
	}
	_, err := g.on(l, files)
	note(err)
	note(byTools().takeDown(g, l))
	return failed
}
