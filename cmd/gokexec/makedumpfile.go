package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/makedumpfilecmd"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// makedumpfileName is that of makedumpfile(8).
const makedumpfileName = "makedumpfile"

func makedumpfileProgram() program {
	return program{
		name: makedumpfileName, short: "behave as makedumpfile(8); so does a link named makedumpfile",
		help: func(e *env) int { return e.makedumpfile(context.Background(), []string{makedumpfileName, "--help"}) },
		man:  makedumpfileMan,
		run:  func(ctx context.Context, e *env, argv []string) int { return e.makedumpfile(ctx, argv) },
	}
}

// makedumpfileRun is one run as makedumpfile(8).
type makedumpfileRun struct {
	*env
	inv *makedumpfilecmd.Invocation
	out io.Writer // of all messages but errors and progress

	lines int       // of progress
	last  time.Time // of the last one
	ended string    // the step that has been shown to be at its end
}

// makedumpfile behaves as makedumpfile(8) for a command line whose first word is its name.
func (e *env) makedumpfile(ctx context.Context, argv []string) int {
	return e.checked(true, func(e *env) int {
		_, posix := os.LookupEnv("POSIXLY_CORRECT")
		m := &makedumpfileRun{env: e, inv: makedumpfilecmd.Parse(argv, posix), out: e.stdout}
		if m.inv.Flatten {
			m.out = e.stderr
		}
		if m.inv.Debug {
			m.say(makedumpfilecmd.Debugging, "%scommand line: %s\n\n", makedumpfileVersion(), strings.Join(argv, " "))
		}
		code := m.run(ctx)
		if !m.inv.Quiet && m.inv.Action != makedumpfilecmd.Usage && m.inv.Action != makedumpfilecmd.Version {
			m.common("\n")
		}
		if line := m.inv.Last(code); line != "" {
			m.common("%s\n", line)
		}
		return code
	})
}

// say prints a message if those of its kind are printed.
func (m *makedumpfileRun) say(kind makedumpfilecmd.Level, format string, args ...any) {
	if m.inv.Messages&kind != 0 {
		fmt.Fprintf(m.out, format, args...)
	}
}

func (m *makedumpfileRun) common(format string, args ...any) {
	m.say(makedumpfilecmd.Common, format, args...)
}

// fail prints an error on standard error and returns the exit code.
func (m *makedumpfileRun) fail(format string, args ...any) int {
	m.warn(format, args...)
	return makedumpfilecmd.ExitFailed
}

// warn prints a line on standard error, if errors are printed.
func (m *makedumpfileRun) warn(format string, args ...any) {
	if m.inv.Messages&makedumpfilecmd.Errors != 0 {
		fmt.Fprintln(m.stderr, oneLine(fmt.Sprintf(format, args...)))
	}
}

// progress shows how far a step is: at most once a second, and at its end.
func (m *makedumpfileRun) progress(step string, done, total uint64, since time.Time) {
	if m.inv.Messages&makedumpfilecmd.Progress == 0 {
		return
	}
	now := time.Now()
	if done < total && now.Sub(m.last) < time.Second || done >= total && m.ended == step {
		return
	}
	m.last = now
	if done >= total {
		m.ended = step
	}
	var elapsed time.Duration
	if !since.IsZero() {
		elapsed = now.Sub(since)
	}
	fmt.Fprint(m.stderr, makedumpfilecmd.ProgressLine(step, done, total, elapsed, m.lines))
	m.lines++
}

// endProgress ends the line that progress has written over.
func (m *makedumpfileRun) endProgress() {
	if m.inv.Messages&makedumpfilecmd.Progress != 0 && m.lines > 0 {
		fmt.Fprintln(m.stderr)
	}
	m.ended = ""
}

func (m *makedumpfileRun) run(ctx context.Context) int {
	if s := m.inv.Stop; s != nil {
		if s.Err != "" {
			fmt.Fprintln(m.stderr, s.Err)
		}
		for _, line := range s.Text {
			m.common("%s\n", line)
		}
		return s.Code
	}
	switch m.inv.Action {
	case makedumpfilecmd.Usage:
		m.common("%s", makedumpfileUsage())
	case makedumpfilecmd.Version:
		m.common("%s", makedumpfileVersion())
	case makedumpfilecmd.Check:
	case makedumpfilecmd.Rearrange:
		return m.rearrange()
	case makedumpfilecmd.Reassemble:
		return m.reassemble(ctx)
	case makedumpfilecmd.Dmesg:
		return m.dmesg()
	case makedumpfilecmd.MemUsage:
		return m.memUsage(ctx)
	default:
		return m.create(ctx)
	}
	return makedumpfilecmd.ExitOK
}

// absent refuses a file that exists, unless -f allows to overwrite it.
func (m *makedumpfileRun) absent(path string) bool {
	if unix.Access(path, unix.F_OK) != nil {
		return true
	}
	err := error(unix.EEXIST)
	if m.inv.Force {
		if err = unix.Access(path, unix.W_OK); err == nil {
			return true
		}
	}
	m.warn("check_dump_file: Can't open the dump file (%s). %s", path, strerror(err))
	return false
}

// openOutput opens a file to be written, in place: what is written stays there if the program ends early. -f
// truncates one that exists.
func (m *makedumpfileRun) openOutput(path string) (*os.File, bool) {
	flags := os.O_RDWR | os.O_CREATE | os.O_TRUNC
	if !m.inv.Force {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, privateFile)
	if err != nil {
		m.warn("open_dump_file: Can't open the dump file(%s). %s", path, strerror(err))
	}
	return f, err == nil
}

// source opens the dump to be read, or the memory of the running machine. code is the exit code
// if that fails, else 0.
func (m *makedumpfileRun) source(paths ...string) (d *dumpFile, code int) {
	d, err := m.openSource(paths)
	names := strings.Join(paths, ", ")
	var path *fs.PathError
	switch {
	case errors.As(err, &path) && m.inv.Action == makedumpfilecmd.Reassemble:
		return nil, m.fail("__read_disk_dump_header: Can't open a file(%s). %s", path.Path, strerror(err))
	case errors.As(err, &path):
		return nil, m.fail("open_dump_memory: Can't open the dump memory(%s). %s", path.Path, strerror(err))
	case err != nil:
		return nil, m.fail("%s: %v", names, err)
	}
	if code := m.describe(d, names); code != makedumpfilecmd.ExitOK {
		d.Close()
		return nil, code
	}
	if missing := d.missing(); missing != "" {
		m.warn("%s: %s", names, missing)
	}
	return d, makedumpfilecmd.ExitOK
}

// describe takes the VMCOREINFO of -i for a dump that has none itself.
func (m *makedumpfileRun) describe(d *dumpFile, name string) int {
	if m.inv.InfoFile == "" {
		return makedumpfilecmd.ExitOK
	}
	f, err := os.Open(m.inv.InfoFile)
	if err != nil {
		return m.fail("open_vmcoreinfo: Can't open the vmcoreinfo file(%s). %s", m.inv.InfoFile, strerror(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxInfoFile))
	if err != nil {
		return m.fail("%s: %s", m.inv.InfoFile, strerror(err))
	}
	info, err := vmcore.ParseVMCoreInfo(text)
	if err == nil && info.OSRelease == "" {
		err = errors.New("there is no OSRELEASE in it")
	}
	if err != nil {
		return m.fail("read_vmcoreinfo_basic_info: Invalid format in %s: %v", m.inv.InfoFile, err)
	}
	switch own, err := d.VMCoreInfo(); {
	case err != nil:
		d.Dump = kdumpfile.Describe(d.Dump, info)
	case own.OSRelease != info.OSRelease:
		m.warn("check_release: %s and %s don't match: they are of the kernels %s and %s", m.inv.InfoFile, name, info.OSRelease, own.OSRelease)
		return makedumpfilecmd.ExitOtherKernel
	}
	return makedumpfilecmd.ExitOK
}

// maxInfoFile bounds a file with VMCOREINFO, in bytes.
const maxInfoFile = 1 << 20

// rearrange makes the dump of the stream on the standard input.
func (m *makedumpfileRun) rearrange() int {
	path := m.inv.Outputs[0]
	if !m.absent(path) {
		return makedumpfilecmd.ExitFailed
	}
	_, err := m.writeFile(path, func(w io.WriterAt) (r excerpt.Report, err error) {
		r.Bytes, err = kdumpfile.Rearrange(w, m.stdin)
		return r, err
	})
	if err != nil {
		m.inv.Source = "standard input"
		m.dumpFailed(err)
		return makedumpfilecmd.ExitFailed
	}
	m.saved(path)
	return makedumpfilecmd.ExitOK
}

// reassemble joins the files of a split dump.
func (m *makedumpfileRun) reassemble(ctx context.Context) int {
	path := m.inv.Outputs[0]
	if !m.absent(path) {
		return makedumpfilecmd.ExitFailed
	}
	src, code := m.source(m.inv.Sources...)
	if code != makedumpfilecmd.ExitOK {
		return code
	}
	defer src.Close()
	m.inv.Source = strings.Join(m.inv.Sources, ", ")
	c, ok := src.Dump.(*kdumpfile.Compressed)
	if !ok {
		return m.fail("%s is not the kdump-compressed format.", m.inv.Source)
	}
	start, missing := time.Now(), 0
	_, err := m.writeFile(path, func(w io.WriterAt) (r excerpt.Report, err error) {
		level := pagefilter.Level(c.Header.DumpLevel)
		r.Written, err = kdumpfile.WriteCompressed(ctx, w, c, kdumpfile.WriteOptions{Codec: c.Header.Codec(), OmitZero: level.Excludes(pagefilter.Zero), DumpLevel: c.Header.DumpLevel,
			Advance:    func(p kdumpfile.Progress) { m.progress(makedumpfilecmd.StepCopy, p.Saved, max(p.Kept, 1), start) },
			Unreadable: func(memmap.PhysAddr, error) { missing++ }})
		return r, err
	})
	m.endProgress()
	if missing > 0 {
		m.warn("%s: %d pages are missing, and are zeroes in %s", m.inv.Source, missing, path)
	}
	if err != nil {
		m.dumpFailed(err)
		return makedumpfilecmd.ExitFailed
	}
	m.saved(path)
	return makedumpfilecmd.ExitOK
}

// memUsage prints how many pages of the machine are of which kind.
func (m *makedumpfileRun) memUsage(ctx context.Context) int {
	src, code := m.source(m.inv.Source)
	if code != makedumpfilecmd.ExitOK {
		return code
	}
	defer src.Close()
	x := src.excerpt(m.inv.Threads)
	s, err := x.Survey(ctx, func(done, total uint64) { m.progress(makedumpfilecmd.StepExclude, done, total, time.Time{}) })
	if err == nil {
		err = x.Whole()
	}
	if err != nil {
		return m.fail("%s: %v", m.inv.Source, err)
	}
	// Which pages are zero only reading tells.
	start := time.Now()
	r, err := x.Write(ctx, excerpt.Nowhere{}, excerpt.Form{Level: pagefilter.MaxLevel}, kdumpfile.WriteOptions{
		Advance: func(p kdumpfile.Progress) { m.progress(makedumpfilecmd.StepCopy, p.Saved, max(p.Kept, 1), start) }, Unreadable: func(memmap.PhysAddr, error) {}})
	m.endProgress()
	if err != nil {
		return m.fail("%s: %v", m.inv.Source, err)
	}
	pages := makedumpfilePages(r.Pages, &r.Left)
	m.common("%s", pages.MemUsage(s.PageSize))
	return makedumpfilecmd.ExitOK
}
