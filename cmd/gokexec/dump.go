package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// dumpOptions are those of gokexec dump.
type dumpOptions struct {
	output   string
	levels   string
	format   string
	compress string
	jobs     int
	estimate bool
	asJSON   bool
	targets  []string
	decrypt  bool
	keys     []string
}

// The values of --format.
const (
	formatKdump   = string(capture.FormatKdump)
	formatELF     = string(capture.FormatELF)
	formatFlat    = "flattened"
	formatFlatELF = "flattened-elf"
)

var dumpFormats = []string{formatKdump, formatELF, formatFlat, formatFlatELF}

func dumpCommand() command {
	return command{
		name: "dump", args: "[SOURCE...]", orderly: true,
		short: "filter and compress a dump; tell how large one will be",
		long: `Reads the dump SOURCE and writes it without the pages that --dump-level leaves out, in the
format that is asked for. SOURCE is /proc/vmcore, a dump in ELF, in makedumpfile's compressed format or
flattened, what gokexec capture wrote on a raw device, or all the files of a split dump. /proc/kcore is the memory
of the running machine: it changes while it is read, so the dump shows no single moment.

The dump level is a sum: 1 leaves out pages of zeroes, 2 page cache without private data, 4 all page cache, 8 the
memory of processes, 16 free memory. 31 leaves the kernel's own memory, which is what crash(8) needs. Memory that is damaged,
or that the hypervisor has taken back, is left out at every level. What can't be told is kept, and a line says so.

With --decrypt SOURCE is a file that was encrypted (vmcore.age), by a capture or by gokexec ship, and it is written as it
was before; the private keys are in the files that -i names. age(1) does the same.

With --estimate nothing is written: it tells how many pages are of which kind, and how large a dump will be at the common
levels, from a sample of the pages. Without SOURCE that is of the running machine.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			var o dumpOptions
			flags.StringVarP(&o.output, "output", "o", "", "write the dump to `FILE`, which is replaced when it is complete; - is the standard output, flattened if that is a pipe")
			flags.StringVar(&o.levels, "dump-level", capture.DefaultDumpLevel, "`LEVEL` of what is left out, 0 to 31; of a list (1,31) the next is taken when the disk is full")
			flags.StringVar(&o.format, "format", formatKdump, "`FORM` of the dump: "+alternatives(dumpFormats)+"; kdump is makedumpfile's compressed format")
			flags.StringVar(&o.compress, "compress", capture.DefaultCompress, "how each page is compressed: `CODEC` "+alternatives(codecNames()))
			flags.IntVar(&o.jobs, "jobs", 0, "use `N` CPUs; 0 is all of them")
			flags.BoolVar(&o.estimate, "estimate", false, "tell how large a dump will be, and write nothing")
			flags.StringArrayVar(&o.targets, "target", nil, "with --estimate: tell also how much room `TARGET`, as for gokexec initramfs, has (may be repeated)")
			flags.BoolVar(&o.decrypt, "decrypt", false, "decrypt SOURCE")
			flags.StringArrayVarP(&o.keys, "identity", "i", nil, "with --decrypt: `FILE` with private keys, as age-keygen writes it (may be repeated)")
			flags.BoolVar(&o.asJSON, "json", false, "report as JSON")
			return func(ctx context.Context, e *env, args []string) error { return e.dump(ctx, &o, args) }
		},
	}
}

func (e *env) dump(ctx context.Context, o *dumpOptions, sources []string) error {
	if o.decrypt || len(o.keys) > 0 {
		return e.decrypt(ctx, o, sources)
	}
	levels, err := pagefilter.ParseLevels(o.levels)
	if err != nil {
		return usageError("--dump-level: %w", err)
	}
	form := excerpt.Form{ELF: o.format == formatELF || o.format == formatFlatELF}
	if form.Codec, err = kdumpfile.ParseCodec(o.compress); err != nil {
		return usageError("--compress: %w", err)
	}
	switch {
	case o.jobs < 0:
		return usageError("--jobs %d: want a number of CPUs, or 0", o.jobs)
	case !slices.Contains(dumpFormats, o.format):
		return usageError("--format: %q is not %s", o.format, alternatives(dumpFormats))
	case o.estimate:
		return e.estimate(ctx, o, form, sources)
	case len(o.targets) > 0:
		return usageError("--target goes with --estimate; -o names the file to write")
	case len(sources) == 0:
		return usageError("no SOURCE: name the dump to read")
	case o.output == "":
		return usageError("no -o FILE: name the dump to write, - for the standard output")
	}
	src, err := e.openSource(sources)
	if err != nil {
		return dumpProblem(strings.Join(sources, ", "), src, err)
	}
	defer src.Close()
	if missing := src.missing(); missing != "" {
		fmt.Fprintf(e.stderr, "gokexec: warning: %s: %s\n", strings.Join(sources, ", "), missing)
	}
	w := &dumpWriting{env: e, dumpOptions: o, form: form, levels: levels, excerpt: src.excerpt(o.jobs), report: newDumpProgress(e)}
	return w.run(ctx, strings.Join(sources, ", "))
}

// dumpWriting is one dump that is written.
type dumpWriting struct {
	*env
	*dumpOptions
	form    excerpt.Form
	levels  []pagefilter.Level
	excerpt *excerpt.Excerpt
	report  *dumpProgress
}

func (w *dumpWriting) run(ctx context.Context, source string) error {
	start := time.Now()
	w.excerpt.Levels(w.levels...)
	if _, err := w.excerpt.Survey(ctx, func(done, total uint64) { w.report.show("looking at the pages", done, total) }); err != nil {
		return w.interrupted(err)
	}
	var unreadable uint64
	opt := kdumpfile.WriteOptions{
		Advance:    func(p kdumpfile.Progress) { w.report.show("writing", p.Saved, p.Kept) },
		Unreadable: func(memmap.PhysAddr, error) { unreadable++ },
	}
	r, err := writeOutput(w.env, w.output, privateFile, func(f io.Writer) (excerpt.Report, error) {
		return w.byLevels(func() (excerpt.Report, error) { return w.write(ctx, f, opt) }, func() error { return startAgain(f) })
	})
	w.report.end()
	if err != nil {
		return w.interrupted(err)
	}
	if unreadable > 0 {
		fmt.Fprintf(w.stderr, "gokexec: warning: %s: %d pages can't be read; they are saved as zeroes\n", source, unreadable)
	}
	return w.summary(source, r, time.Since(start))
}

// byLevels writes the dump with the first level for which there is room; again empties what was written.
func (w *dumpWriting) byLevels(write func() (excerpt.Report, error), again func() error) (r excerpt.Report, err error) {
	for i, level := range w.levels {
		w.form.Level = level
		r, err = write()
		if !capture.NoRoom(err) || i == len(w.levels)-1 || again() != nil {
			break
		}
		w.report.end()
		fmt.Fprintf(w.stderr, "gokexec: dump level %d: %s; the next is %d\n", level, oneLine(err.Error()), w.levels[i+1])
	}
	return r, err
}

func (w *dumpWriting) interrupted(err error) error {
	w.report.end()
	if errors.Is(err, context.Canceled) {
		return &advice.Problem{What: "interrupted; " + w.output + " is unchanged", Err: err}
	}
	return err
}

// write writes the dump once. What can't be written at an offset gets the flattened form.
func (w *dumpWriting) write(ctx context.Context, f io.Writer, opt kdumpfile.WriteOptions) (excerpt.Report, error) {
	file, ok := f.(*os.File)
	if ok {
		info, err := file.Stat()
		if err != nil {
			return excerpt.Report{}, err
		}
		ok = info.Mode().IsRegular() || info.Mode()&(os.ModeDevice|os.ModeCharDevice) == os.ModeDevice
		opt.Stale = !info.Mode().IsRegular()
	}
	// What is appended to, or is written from another place on, is a stream as well.
	if ok {
		at, err := file.Seek(0, io.SeekCurrent)
		flags, ferr := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
		ok = err == nil && at == 0 && ferr == nil && flags&unix.O_APPEND == 0
	}
	if !ok || w.format == formatFlat || w.format == formatFlatELF {
		return w.excerpt.Stream(ctx, f, w.form, opt)
	}
	return w.excerpt.Write(ctx, file, w.form, opt)
}

// startAgain empties a file that is replaced when it is complete; no other can be.
func startAgain(f io.Writer) error {
	file, ok := f.(*os.File)
	if !ok {
		return unix.ESPIPE
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.Seek(0, io.SeekStart)
	return err
}
