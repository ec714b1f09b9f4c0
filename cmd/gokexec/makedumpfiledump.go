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

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/makedumpfilecmd"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// create writes a dump.
func (m *makedumpfileRun) create(ctx context.Context) int {
	for _, path := range m.inv.Outputs {
		if !m.absent(path) {
			return makedumpfilecmd.ExitFailed
		}
	}
	if m.inv.Source == vmcoreName {
		if err := capture.LimitMemory(os.DirFS(m.sysroot)); err != nil {
			m.warn("%v", err)
		}
	}
	src, code := m.source(m.inv.Source)
	if code != makedumpfilecmd.ExitOK {
		return code
	}
	defer src.Close()
	m.showInfo(src)
	m.translate(src)
	x := src.excerpt(m.inv.Threads)
	if err := m.survey(ctx, x); err != nil {
		return m.fail("%s: %v", m.inv.Source, err)
	}
	for i, level := range m.inv.Levels {
		m.refiltered(src, level)
		report, err := m.write(ctx, x, pagefilter.Level(level))
		m.endProgress()
		if err == nil {
			m.created(src, level, report)
			return makedumpfilecmd.ExitOK
		}
		full := m.dumpFailed(err)
		if m.inv.Flatten || m.inv.DryRun || !full {
			break
		}
		if i == len(m.inv.Levels)-1 {
			if report.Bytes >= minReadable {
				m.common("This is an incomplete dumpfile, but might analyzable.\n")
			}
			break
		}
		m.common("Retry to create a dumpfile by dump_level(%d).\n", m.inv.Levels[i+1])
		for _, path := range m.inv.Outputs {
			os.Remove(path) // to write it again tells whether that worked
		}
	}
	return makedumpfilecmd.ExitFailed
}

// minReadable is how many bytes a dump has at least of which something can be read: the first header.
const minReadable = 4096

// refiltered tells that the source lacks pages that the level would keep.
func (m *makedumpfileRun) refiltered(src *dumpFile, level int) {
	c, ok := src.Dump.(*kdumpfile.Compressed)
	if ok && level|c.Header.DumpLevel != level {
		m.common("dump_level is changed to %d, because %s was created by dump_level(%d).\n", level|c.Header.DumpLevel, m.inv.Source, c.Header.DumpLevel)
	}
}

// survey finds the kinds of the pages, if a dump level depends on them.
func (m *makedumpfileRun) survey(ctx context.Context, x *excerpt.Excerpt) error {
	m.progress(makedumpfilecmd.StepHoles, 1, 1, time.Time{})
	if slices.Max(m.inv.Levels) == 0 {
		return nil
	}
	var levels []pagefilter.Level
	for _, level := range m.inv.Levels {
		levels = append(levels, pagefilter.Level(level))
	}
	x.Levels(levels...)
	_, err := x.Survey(ctx, func(done, total uint64) { m.progress(makedumpfilecmd.StepExclude, done, total, time.Time{}) })
	if err == nil && x.Whole() != nil {
		m.warn("%s: no page but those of zeroes can be left out: %v", m.inv.Source, x.Whole())
	}
	return err
}

// form is what the command line says of the dump.
func (m *makedumpfileRun) form(level pagefilter.Level) excerpt.Form {
	codecs := map[makedumpfilecmd.Codec]kdumpfile.Codec{makedumpfilecmd.Zlib: kdumpfile.CodecZlib, makedumpfilecmd.LZO: kdumpfile.CodecLZO,
		makedumpfilecmd.Snappy: kdumpfile.CodecSnappy, makedumpfilecmd.Zstd: kdumpfile.CodecZstd}
	return excerpt.Form{Level: level, ELF: m.inv.ELF, Codec: codecs[m.inv.Codec]}
}

// write writes the dump once, with a level of the list.
func (m *makedumpfileRun) write(ctx context.Context, x *excerpt.Excerpt, level pagefilter.Level) (excerpt.Report, error) {
	start, unreadable := time.Now(), uint64(0)
	opt := kdumpfile.WriteOptions{
		Advance: func(p kdumpfile.Progress) {
			if p.Kept > 0 {
				m.progress(makedumpfilecmd.StepCopy, p.Saved, p.Kept, start)
			}
		},
		Unreadable: func(addr memmap.PhysAddr, err error) {
			if unreadable++; unreadable == 1 {
				m.warn("%s: the page at %v can't be read, and is saved as zeroes: %v", m.inv.Source, addr, err)
			}
		},
	}
	report, err := m.writeFiles(ctx, x, m.form(level), opt)
	if err == nil {
		m.progress(makedumpfilecmd.StepCopy, 1, 1, start)
	}
	if unreadable > 1 {
		m.warn("%s: %d pages can't be read, and are saved as zeroes", m.inv.Source, unreadable)
	}
	return report, err
}

func (m *makedumpfileRun) writeFiles(ctx context.Context, x *excerpt.Excerpt, form excerpt.Form, opt kdumpfile.WriteOptions) (excerpt.Report, error) {
	switch {
	case m.inv.DryRun:
		return x.Write(ctx, &dumpSink{name: m.outputName(), limit: m.inv.Limit, to: excerpt.Nowhere{}}, form, opt)
	case m.inv.Flatten:
		return x.Stream(ctx, &dumpSink{name: m.outputName(), limit: m.inv.Limit, stream: m.stdout}, form, opt)
	case m.inv.Split:
		return m.writeParts(ctx, x, form, opt)
	}
	return m.writeFile(m.inv.Outputs[0], func(w io.WriterAt) (excerpt.Report, error) { return x.Write(ctx, w, form, opt) })
}

// outputName is that of the file in messages.
func (m *makedumpfileRun) outputName() string {
	if m.inv.Flatten {
		return "STDOUT"
	}
	return m.inv.Outputs[0]
}

// writeFile writes one of the files.
func (m *makedumpfileRun) writeFile(path string, write func(io.WriterAt) (excerpt.Report, error)) (excerpt.Report, error) {
	f, ok := m.openOutput(path)
	if !ok {
		return excerpt.Report{}, errSaid
	}
	report, err := write(&dumpSink{name: path, limit: m.inv.Limit, to: f})
	if serr := (&output{file: f}).sync(); err == nil && serr != nil {
		err = &sinkError{path, serr}
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = &sinkError{path, cerr}
	}
	return report, err
}

// errSaid is an error that was reported already.
var errSaid = errors.New("reported already")

// errLimit is the size that -L allows.
var errLimit = errors.New("size limit")

// dumpSink is what a dump is written to, within a limit. It remembers that an error is its own.
type dumpSink struct {
	name   string
	limit  uint64 // bytes; 0: none
	to     io.WriterAt
	stream io.Writer
	at     uint64 // of the stream
}

// sinkError is an error of what is written to.
type sinkError struct {
	name string
	err  error
}

func (e *sinkError) Error() string { return e.name + ": " + e.err.Error() }

func (e *sinkError) Unwrap() error { return e.err }

// fits returns as much of b at off as the limit allows.
func (s *dumpSink) fits(b []byte, off uint64) ([]byte, error) {
	if s.limit == 0 || off+uint64(len(b)) <= s.limit {
		return b, nil
	}
	return b[:s.limit-min(off, s.limit)], fmt.Errorf("%w: %w", errLimit, unix.ENOSPC)
}

func (s *dumpSink) done(n int, err, limit error) (int, error) {
	if err == nil {
		err = limit
	}
	if err != nil {
		err = &sinkError{s.name, err}
	}
	return n, err
}

// WriteAt writes to the file.
func (s *dumpSink) WriteAt(b []byte, off int64) (int, error) {
	part, limit := s.fits(b, uint64(off))
	n, err := s.to.WriteAt(part, off)
	return s.done(n, err, limit)
}

// Write writes to the stream.
func (s *dumpSink) Write(b []byte) (int, error) {
	part, limit := s.fits(b, s.at)
	n, err := s.stream.Write(part)
	s.at += uint64(n)
	return s.done(n, err, limit)
}

// dumpFailed reports why a dump was not finished, and whether the disk is full.
func (m *makedumpfileRun) dumpFailed(err error) (full bool) {
	var sink *sinkError
	switch {
	case errors.Is(err, errSaid):
	case errors.Is(err, errLimit) && errors.As(err, &sink):
		m.common("\nCan't write the dump file(%s). Size limit(%d) reached.\n", sink.name, m.inv.Limit)
	case errors.As(err, &sink):
		m.common("\nCan't write the dump file(%s). %s\n", sink.name, strerror(sink.err))
		m.warn("%s: %v", sink.name, sink.err)
	default:
		m.warn("%s: %v", m.inv.Source, err)
	}
	return capture.NoRoom(err)
}

// created reports what the dump is.
func (m *makedumpfileRun) created(src *dumpFile, level int, r excerpt.Report) {
	for _, f := range r.Refused {
		m.warn("%s: the pages of class %q are kept: %s", m.inv.Source, f.Class, f.Reason)
	}
	pages := makedumpfilePages(r.Pages, &r.Left)
	if level&2 == 0 {
		pages.Cache, pages.Private = 0, pages.Private+pages.Cache // level 4 makes no difference
	}
	pages.Total, pages.ELF, pages.Bytes = totalPages(src), m.inv.ELF, uint64(r.Bytes)
	pages.Holes = r.Pages - min(r.Pages, r.Kept-r.Zero)
	m.say(makedumpfilecmd.Reports, "%s", pages.Report())
	if names := m.inv.Outputs; m.inv.Split {
		last := len(names) - 1
		m.common("\nThe dumpfiles are saved to %s, and %s.\n", strings.Join(names[:last], ", "), names[last])
		return
	}
	m.saved(m.outputName())
}

func (m *makedumpfileRun) saved(path string) { m.common("\nThe dumpfile is saved to %s.\n", path) }

// makedumpfilePages counts pages as makedumpfile does.
func makedumpfilePages(memory uint64, left *[pagefilter.NumClasses]uint64) makedumpfilecmd.Pages {
	return makedumpfilecmd.Pages{Memory: memory, Zero: left[pagefilter.Zero], Cache: left[pagefilter.Cache], Private: left[pagefilter.PrivateCache], User: left[pagefilter.User],
		Free: left[pagefilter.Free] + left[pagefilter.Unaccepted], HWPoison: left[pagefilter.HWPoison], Offline: left[pagefilter.Offline]}
}

// totalPages is one more than the number of the highest page frame.
func totalPages(d kdumpfile.Dump) uint64 {
	page, end := kdumpfile.PageSize(d), memmap.PhysAddr(0)
	for {
		r, err := d.NextMemory(end)
		if err != nil {
			return uint64(end) / page
		}
		end = r.End
	}
}

// showInfo prints the VMCOREINFO as a debugging message: scripts read OSRELEASE and CRASHTIME from it.
func (m *makedumpfileRun) showInfo(d kdumpfile.Dump) {
	for _, n := range d.Notes() {
		if n.Name != "VMCOREINFO" {
			continue
		}
		m.say(makedumpfilecmd.Debugging, "VMCOREINFO   :\n")
		for line := range strings.SplitSeq(strings.TrimRight(string(n.Desc), "\x00\n"), "\n") {
			m.say(makedumpfilecmd.Debugging, "  %s\n", line)
		}
	}
	m.say(makedumpfilecmd.Debugging, "page_size    : %d\n", kdumpfile.PageSize(d))
}

// translate prints the physical address of the virtual one that --vtop names.
func (m *makedumpfileRun) translate(d kdumpfile.Dump) {
	if m.inv.Vtop == 0 {
		return
	}
	m.common("\nTranslating virtual address %x to physical address.\n", m.inv.Vtop)
	info, err := d.VMCoreInfo()
	if err != nil {
		info = nil // some machines have fixed mappings
	}
	phys, _, err := vmcore.NewAddressSpace(d.Platform(), info, d, vmcore.Hints{}).Translate(m.inv.Vtop)
	if err != nil {
		m.warn("--vtop: %v", err)
		phys = ^memmap.PhysAddr(0)
	}
	m.common("VIRTUAL           PHYSICAL\n%16x  %x\n\n", m.inv.Vtop, uint64(phys))
}

// writeParts writes the files of --split.
func (m *makedumpfileRun) writeParts(ctx context.Context, x *excerpt.Excerpt, form excerpt.Form, opt kdumpfile.WriteOptions) (excerpt.Report, error) {
	var sinks []io.WriterAt
	return m.openParts(m.inv.Outputs, &sinks, func() (excerpt.Report, error) { return x.WriteSplit(ctx, sinks, form, opt) })
}

// openParts opens the files one within the other, and then writes.
func (m *makedumpfileRun) openParts(paths []string, sinks *[]io.WriterAt, write func() (excerpt.Report, error)) (excerpt.Report, error) {
	if len(paths) == 0 {
		return write()
	}
	return m.writeFile(paths[0], func(w io.WriterAt) (excerpt.Report, error) {
		*sinks = append(*sinks, w)
		return m.openParts(paths[1:], sinks, write)
	})
}
