package main

import (
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/printk"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func vmcoreDmesgProgram() program {
	text := &programText{
		name: "vmcore-dmesg", args: "FILE",
		short: "print the kernel log from a dump, as kexec-tools does",
		long: `Prints the kernel log that FILE holds on standard output: the same arguments, text and
exit codes as vmcore-dmesg of kexec-tools. FILE is /proc/vmcore or a saved dump. Each record is a line with
the seconds since boot; bytes that are not printable are written as \xNN.

gokexec dmesg prints the same text, or JSON, and explains failures.`,
		differences: []string{
			`FILE may also be a dump in the compressed format of makedumpfile, a flattened one (makedumpfile -F), or
a raw device that gokexec capture has written.`,
			`A dump without virtual addresses in its program headers can be read: the kernel's addresses are computed from VMCOREINFO, and
on x86_64 by the kernel's page tables.`,
			`An ELF file that is no core file is refused, whatever notes it has.`,
			`More than 65534 program headers are understood, and those that do not directly follow the ELF header.`,
			`Of a damaged or incomplete dump everything of the log that can be read is printed, not only what precedes the first damage;
standard error says what is missing. The exit code is that of the first place that can't be read.`,
			`A log from before Linux 5.10 that wraps around is printed without an empty line at time 0 at that place.`,
			`A record whose text ends exactly at the end of the log's buffer, as in kernels since the end of 2025, is
printed completely.`,
			`Logs over 2 GiB are printed, too, and a write that takes only a part of the text is continued.`,
			`A VMCOREINFO that lacks an offset is an error that names the offset; it is not taken to be 0.`,
			`Sizes, positions and IDs in the log are checked against its bounds, so that a corrupt log can't make the program
crash, loop or use more memory than a capture kernel has.`,
		},
		exits: []exitCode{
			{0, "the log is printed"}, {1, "not exactly one argument"}, {2, "FILE can't be opened"},
			{3, "FILE can't be read"}, {4, "FILE is no dump"}, {5, "unknown version of ELF"}, {6, "unknown ELF class"}, {7, "unknown byte order"},
			{10, "the headers can't be read, or make no sense; a part of a split dump"}, {11, "unknown version in the ELF header"},
			{12, "program headers of an unknown size"}, {16, "the program headers can't be read"}, {22, "the notes can't be read"},
			{30, "memory of the log is not in the dump"}, {40, "a pointer can't be read"}, {41, "a number can't be read"},
			{50, "no VMCOREINFO, or it doesn't say where the log is (50 to 53 for the log before Linux 3.5)"},
			{54, "the log can't be written"}, {60, "VMCOREINFO lacks something for the log of Linux 3.5 to 5.9 (60 to 67)"},
			{64, "VMCOREINFO lacks something for the log of Linux 5.10 and later"},
			{65, "the log can't be read"}, {69, "the log of Linux 3.5 to 5.9 is corrupt"},
		},
	}
	return text.program(func(_ context.Context, e *env, argv []string) int {
		if len(argv) != 2 {
			fmt.Fprintf(e.stderr, "usage: %s <kernel core file>\n", argv[0])
			return 1
		}
		return e.vmcoreDmesg(argv[1])
	})
}

func (e *env) vmcoreDmesg(path string) int {
	if code, message := checkELF(path); code != 0 {
		fmt.Fprintln(e.stderr, message)
		return code
	}
	say := func(code int, format string, args ...any) int {
		fmt.Fprintf(e.stderr, "%s: %s\n", path, oneLine(fmt.Sprintf(format, args...)))
		return code
	}
	dump, err := openDump([]string{path})
	if err != nil {
		return say(openCode(err), "%v", err)
	}
	defer dump.Close()
	if missing := dump.missing(); missing != "" {
		say(0, "%s", missing)
	}
	log, err := printk.Read(dump)
	if err != nil {
		return say(logCode(err, dump), "%v", err)
	}
	out := &failingWriter{w: e.stdout}
	stats, _ := printk.WriteText(out, log)
	if out.err != nil {
		fmt.Fprintf(e.stderr, "Failed to write out the dmesg log buffer!: %s\n", dmesgError(out.err))
		return 54
	}
	if stats.Damaged == 0 {
		return 0
	}
	say(0, "the log is damaged in %d places, the first: %v", stats.Damaged, stats.Err)
	switch {
	case stats.Unread > 0 && errors.Is(stats.ReadErr, vmcore.ErrNotInDump):
		return 30
	case stats.Unread > 0 && log.Format == printk.FormatBytes:
		return 52
	case stats.Unread > 0:
		return 65
	case log.Format == printk.FormatRecords:
		return 69
	}
	return 0 // a writer may have been at work in any other CPU
}

// failingWriter keeps the error of the writer, which is not one of the dump.
type failingWriter struct {
	w   io.Writer
	err error
}

func (f *failingWriter) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err != nil {
		f.err = err
	}
	return n, err
}

// checkELF makes the checks of the original in its order and with its messages, if FILE is
// an ELF file or can't be read.
func checkELF(path string) (code int, message string) {
	f, err := os.Open(path)
	if err != nil {
		return 2, fmt.Sprintf("Cannot open %s: %s", path, dmesgError(err))
	}
	defer f.Close()
	var h [64]byte
	if n, err := f.ReadAt(h[:16], 0); n < 16 {
		return 3, fmt.Sprintf("Read of e_ident from %s failed: %s\nUnable to read ELF information from vmcore", path, dmesgError(err))
	}
	bad := func(code int, format string, args ...any) (int, string) {
		return code, fmt.Sprintf(format, args...) + "\nUnable to read ELF information from vmcore"
	}
	switch {
	case string(h[:4]) != elf.ELFMAG:
		return 0, ""
	case h[elf.EI_VERSION] != byte(elf.EV_CURRENT):
		return bad(5, "Bad elf version")
	case h[elf.EI_CLASS] != byte(elf.ELFCLASS32) && h[elf.EI_CLASS] != byte(elf.ELFCLASS64):
		return bad(6, "Unknown elf class %d", h[elf.EI_CLASS])
	case h[elf.EI_DATA] != byte(elf.ELFDATA2LSB) && h[elf.EI_DATA] != byte(elf.ELFDATA2MSB):
		return bad(7, "Unkown elf data order %d", h[elf.EI_DATA])
	}
	size, sizeAt, entry := 52, 42, uint16(32)
	if h[elf.EI_CLASS] == byte(elf.ELFCLASS64) {
		size, sizeAt, entry = 64, 54, 56
	}
	if n, err := f.ReadAt(h[:size], 0); n < size {
		return 10, fmt.Sprintf("Read of Elf header from %s failed: %s", path, dmesgError(err))
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if h[elf.EI_DATA] == byte(elf.ELFDATA2MSB) {
		order = binary.BigEndian
	}
	if v := order.Uint32(h[20:]); v != uint32(elf.EV_CURRENT) {
		return 11, fmt.Sprintf("Bad Elf header version %d", v)
	}
	if got := order.Uint16(h[sizeAt:]); got != entry {
		return 12, fmt.Sprintf("Bad Elf progra header size %d expected %d", got, entry)
	}
	return 0, ""
}

// openCode is the exit code for a dump that can't be opened although it can be read.
func openCode(err error) int {
	switch {
	case errors.Is(err, capture.ErrNoDump), errors.Is(err, kdumpfile.ErrFormat):
		return 4
	case errors.Is(err, elfcore.ErrNotCore):
		return 50 // an ELF file of another kind has no log
	case errors.Is(err, kdumpfile.ErrSplit):
		return 10
	}
	return 16
}

// logCode is the exit code for a log that can't be found.
func logCode(err error, dump *dumpFile) int {
	var missing *printk.MissingError
	var read *vmcore.ReadError
	switch {
	case errors.As(err, &missing):
		return missingCode(missing)
	case errors.As(err, &read) && errors.Is(err, vmcore.ErrNotInDump):
		return 30
	case errors.As(err, &read):
		switch read.What {
		case "prb", "log_buf":
			return 40
		case "log_end", "log_buf_len", "logged_chars", "log_first_idx", "log_next_idx":
			return 41
		}
		return 65
	case errors.Is(err, vmcore.ErrNoVMCoreInfo) && dump.Incomplete():
		return 22
	case errors.Is(err, vmcore.ErrNoVMCoreInfo), errors.Is(err, printk.ErrNoLog):
		return 50
	}
	return 65
}

// missingCode is the exit code for something that VMCOREINFO lacks.
func missingCode(m *printk.MissingError) int {
	switch m.Format {
	case printk.FormatRing:
		return 64
	case printk.FormatBytes:
		return map[string]int{"log_buf": 50, "log_end": 51, "log_buf_len": 52}[m.Name]
	}
	name, member, _ := strings.Cut(m.Name, ".")
	codes := map[string]int{
		"log_buf": 60, "log_buf_len": 61, "log_first_idx": 62, "log_next_idx": 63,
		"ts_nsec": 65, "len": 66, "text_len": 67,
	}
	if code := codes[cmp.Or(member, name)]; code != 0 {
		return code
	}
	return 64 // the size of a record
}

// dmesgError formats an error as the original does, for which the end of a file is none.
func dmesgError(err error) string {
	if err == nil || err == io.EOF {
		return "Success"
	}
	return strerror(err)
}
