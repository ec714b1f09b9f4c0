package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/gokexec/gokexec/internal/mapread"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// dumpFile is a dump and the files it is in.
type dumpFile struct {
	kdumpfile.Dump
	closers []io.Closer // of its files
	cut     bool        // gokexec capture has marked it as incomplete
	live    bool        // the memory of the running machine
}

// excerpt prepares to write a part of it by so many goroutines, 0 for as many as there are CPUs.
func (d *dumpFile) excerpt(jobs int) *excerpt.Excerpt {
	if jobs == 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	x := excerpt.New(d.Dump, jobs)
	kdumpfile.SpareProcessor()
	if d.live {
		x.Live()
	}
	return x
}

// openDump opens a dump: a file or device of any form, what gokexec capture wrote
// on a raw device, or all the parts of a split dump.
func openDump(paths []string) (_ *dumpFile, err error) {
	d := new(dumpFile)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	var sections []kdumpfile.File
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		d.closers = append(d.closers, f)
		section, err := d.section(f, path)
		if err != nil {
			return nil, err
		}
		sections = append(sections, section)
	}
	d.Dump, err = kdumpfile.Open(sections...)
	return d, err
}

// section finds the dump in a file.
func (d *dumpFile) section(f *os.File, path string) (kdumpfile.File, error) {
	// The end of a block device is its size, which stat doesn't know.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		size = math.MaxInt64 // files in /proc may not know their size
	}
	if filepath.Clean(path) == vmcoreName {
		return d.mapped(f, size, 4), nil
	}
	var head [16]byte
	if n, _ := f.ReadAt(head[:], 0); bytes.HasPrefix(head[:n], []byte(elf.ELFMAG)) {
		return d.mapped(f, size, 1), nil
	} else if kdumpfile.Recognised(head[:n]) {
		return kdumpfile.NewFile(f, 0, size), nil
	}
	found, err := capture.FindInTar(f, size)
	if err != nil {
		return nil, err
	}
	d.cut = d.cut || found.Incomplete
	return kdumpfile.NewFile(f, found.Offset, found.Size()), nil
}

// vmcoreName is the memory of the crashed kernel, in the capture kernel.
const vmcoreName = "/proc/vmcore"

// mapped is a file that is read through mappings: a window for each CPU, and more for what is read between.
func (d *dumpFile) mapped(f *os.File, size int64, more int) kdumpfile.File {
	m := mapread.New(f, size, runtime.GOMAXPROCS(0)+more)
	d.closers = append(d.closers, m)
	return m
}

// Close closes the files.
func (d *dumpFile) Close() error {
	var errs []error
	for _, f := range slices.Backward(d.closers) {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// missing says what is wrong with a dump that can still be read; "" if nothing is.
func (d *dumpFile) missing() string {
	damage := errors.Join(d.Damage()...)
	switch {
	case !d.cut && !d.Incomplete() && damage == nil:
		return ""
	case damage == nil:
		return "it is incomplete"
	case d.cut || d.Incomplete():
		return "it is incomplete: " + oneLine(damage.Error())
	}
	return "it is damaged: " + oneLine(damage.Error())
}

// dumpProblem says what is wrong with a dump, nil if it can't be opened at all, and
// what to do about that.
func dumpProblem(path string, dump *dumpFile, err error) error {
	p := &advice.Problem{What: fmt.Sprintf("%s: %v", path, err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fileProblem("dump", err)
	case errors.Is(err, kdumpfile.ErrFormat), errors.Is(err, capture.ErrNoDump):
		p.Hint = "a dump is wanted: ELF (/proc/vmcore, a saved vmcore), what makedumpfile writes, compressed or flattened, or gokexec's raw device"
	case errors.Is(err, kdumpfile.ErrSplit):
		p.Hint = "give all the files that makedumpfile --split wrote, or join them by makedumpfile --reassemble"
	case errors.Is(err, vmcore.ErrNoVMCoreInfo):
		p.Hint = noVMCoreInfoHint(dump)
	case errors.Is(err, vmcore.ErrNotInDump), errors.Is(err, io.ErrUnexpectedEOF):
		p.Hint = "the dump does not contain the memory that holds the log: it was excluded, or the end of the file is missing; look for a log that was saved with the dump"
	case errors.Is(err, printk.ErrNoLog):
		p.Hint = "the kernel's note does not say where the log is; crash(8) and drgn find it by the kernel's debug information"
	}
	return p
}

// noVMCoreInfoHint says which program should have written that note.
func noVMCoreInfoHint(dump *dumpFile) string {
	const byDebugInfo = "; crash(8) and drgn find the log in this one by the kernel's debug information"
	switch {
	case dump == nil:
		return ""
	case slices.ContainsFunc(dump.Notes(), func(n vmcore.Note) bool { return n.Name == "QEMU" }):
		return "this is a dump by QEMU, which knows nothing of the guest's kernel unless that tells it: start the guest with -device vmcoreinfo (libvirt: <features><vmcoreinfo state='on'/></features>)" + byDebugInfo
	case dump.missing() != "":
		return "the note may have been in what is missing or damaged" + byDebugInfo
	}
	return "the program that wrote the dump left the kernel's note out" + byDebugInfo
}
