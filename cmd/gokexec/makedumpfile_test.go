package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/makedumpfilecmd"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// makedumpfile runs the program with what it reads from its standard input.
func (b *bench) makedumpfile(stdin []byte, args ...string) int {
	b.stdout.Reset()
	b.stderr.Reset()
	e := &env{stdin: bytes.NewReader(stdin), stdout: &b.stdout, stderr: &b.stderr, sysroot: b.kernel.Dir, stateDir: filepath.Join(b.kernel.Dir, "run/gokexec")}
	return runAs(context.Background(), e, append([]string{"/usr/bin/makedumpfile"}, args...))
}

// wantDump opens a dump, and holds the pages after the kernel's against what the level keeps.
func (b *bench) wantDump(level int, data ...[]byte) kdumpfile.Dump {
	b.t.Helper()
	var files []kdumpfile.File
	for _, d := range data {
		files = append(files, bytes.NewReader(d))
	}
	d, err := kdumpfile.Open(files...)
	if err != nil {
		b.t.Fatal(err)
	}
	_, elf := d.(*kdumpfile.ELF)
	page, zeroes := make([]byte, 4096), make([]byte, 4096)
	load := dumptest.MixedCore().Loads[1]
	for pfn := uint64(dumptest.MixedFirst); pfn < dumptest.MixedEnd; pfn++ {
		left := dumptest.MixedKind(pfn) == dumptest.PageUser && level&8 != 0 || dumptest.MixedKind(pfn) == dumptest.PageFree && level&16 != 0
		want := load.Data[(pfn-dumptest.MixedFirst)<<12:][:4096]
		if left && elf {
			want = zeroes
		}
		_, err := d.ReadPhysAt(page, memmap.PhysAddr(pfn<<12))
		if left && !elf && errors.Is(err, kdumpfile.ErrExcluded) {
			continue
		}
		if err != nil || left && !elf || !bytes.Equal(page, want) {
			b.t.Fatalf("page %#x of a dump of level %d: %v, equal %v", pfn, level, err, bytes.Equal(page, want))
		}
	}
	return d
}

func (b *bench) read(path string) []byte {
	b.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// Each form of a dump is made, and by a pipe, and joined out of its parts.
func TestMakedumpfileForms(t *testing.T) {
	b := newBench(t)
	core := b.file("vmcore", dumptest.MixedCore().Bytes())
	out := filepath.Join(b.dir, "dump")
	for _, args := range [][]string{{"-c", "-d", "31"}, {"-l", "-d", "31"}, {"-p", "-d", "31"}, {"-z", "-d", "31"}, {"-d", "31"}, {"-E", "-d", "31"}, {"-l", "-d", "31", "--num-threads", "2"}} {
		if code := b.makedumpfile(nil, append(args, core, out)...); code != 0 || b.stdout.String() != "\nThe dumpfile is saved to "+out+".\n\nmakedumpfile Completed.\n" {
			t.Errorf("makedumpfile %q = %d, %q, %q", args, code, &b.stdout, &b.stderr)
		}
		b.wantDump(31, b.read(out))
		if info, err := os.Stat(out); err != nil || info.Mode() != 0o600 {
			t.Errorf("the file of makedumpfile %q: %v, %v; want it for its owner only", args, info.Mode(), err)
		}
		whole := b.read(out)
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
		if code := b.makedumpfile(nil, append(args, "-F", core)...); code != 0 || !strings.HasSuffix(b.stderr.String(), "The dumpfile is saved to STDOUT.\n\nmakedumpfile Completed.\n") {
			t.Fatalf("makedumpfile %q -F = %d, %q", args, code, &b.stderr)
		}
		if code := b.makedumpfile(bytes.Clone(b.stdout.Bytes()), "-R", out); code != 0 {
			t.Fatalf("makedumpfile -R = %d, %q", code, &b.stderr)
		}
		if got := b.read(out); len(got) != len(whole) {
			t.Errorf("makedumpfile %q -F | makedumpfile -R has %d bytes; want %d, as without the pipe", args, len(got), len(whole))
		}
		b.wantDump(31, b.read(out))
		os.Remove(out)
	}
	parts := []string{out + "1", out + "2", out + "3"}
	if code := b.makedumpfile(nil, append([]string{"--split", "-z", "-d", "25", core}, parts...)...); code != 0 || !strings.HasPrefix(b.stdout.String(), "\nThe dumpfiles are saved to "+parts[0]+", "+parts[1]+", and "+parts[2]+".\n") {
		t.Fatalf("makedumpfile --split = %d, %q, %q", code, &b.stdout, &b.stderr)
	}
	b.wantDump(25, b.read(parts[1]), b.read(parts[2]), b.read(parts[0]))
	if code := b.makedumpfile(nil, "--reassemble", parts[2], parts[0], parts[1], out); code != 0 {
		t.Fatalf("makedumpfile --reassemble = %d, %q", code, &b.stderr)
	}
	if c, ok := b.wantDump(25, b.read(out)).(*kdumpfile.Compressed); !ok || c.Header.Codec() != kdumpfile.CodecZstd || c.Header.DumpLevel != 25 || c.Header.Split {
		t.Errorf("the joined dump is %+v", c.Header)
	}
	if code := b.makedumpfile(nil, "-f", "--reassemble", parts[2], parts[0], out); code != 1 {
		t.Errorf("makedumpfile --reassemble without a part = %d", code)
	}
	// Of parts that the disk had no room for, the rest is joined.
	if code := b.makedumpfile(nil, "-f", "--split", "-d", "0", "-L", "150k", core, parts[0], parts[1]); code != 1 {
		t.Errorf("makedumpfile --split with a limit = %d, %q", code, &b.stderr)
	}
	if code := b.makedumpfile(nil, "-f", "--reassemble", parts[1], parts[0], out); code != 0 || !strings.Contains(b.stderr.String(), "pages are missing, and are zeroes") {
		t.Errorf("makedumpfile --reassemble of incomplete parts = %d, %q", code, &b.stderr)
	}
	if d, err := kdumpfile.Open(bytes.NewReader(b.read(out))); err != nil || !d.Incomplete() {
		t.Errorf("the dump out of incomplete parts: %v; want it to be incomplete", err)
	}
}

// What exists stays as it was, unless -f is given; what is written when the room ends can be read.
func TestMakedumpfileOutput(t *testing.T) {
	b := newBench(t)
	core := b.file("vmcore", dumptest.MixedCore().Bytes())
	out := b.file("dump", []byte("here before"))
	for _, args := range [][]string{{"-c", core, out}, {"--split", core, filepath.Join(b.dir, "new"), out}, {"--dump-dmesg", core, out}, {"-R", out}, {"--reassemble", core, core, out}, {"--dry-run", core, out}} {
		if code := b.makedumpfile(nil, args...); code != 1 || !strings.Contains(b.stderr.String(), "check_dump_file: Can't open the dump file ("+out+"). File exists\n") {
			t.Errorf("makedumpfile %q = %d, %q", args, code, &b.stderr)
		}
	}
	if got := b.read(out); string(got) != "here before" {
		t.Errorf("the existing file is %q", got)
	}
	if code := b.makedumpfile(nil, "-f", "-d", "31", core, out); code != 0 {
		t.Errorf("makedumpfile -f = %d, %q", code, &b.stderr)
	}
	b.wantDump(31, b.read(out))

	// With a limit for which level 0 is too large.
	if code := b.makedumpfile(nil, "-f", "-d", "0,31", "-L", "2100k", core, out); code != 0 || !strings.Contains(b.stdout.String(), "Size limit(2150400) reached.\nRetry to create a dumpfile by dump_level(31).\n") {
		t.Errorf("makedumpfile -d 0,31 = %d, %q, %q", code, &b.stdout, &b.stderr)
	}
	b.wantDump(31, b.read(out))
	if code := b.makedumpfile(nil, "-f", "-L", "2100k", core, out); code != 1 || !strings.HasSuffix(b.stdout.String(), "This is an incomplete dumpfile, but might analyzable.\n\nmakedumpfile Failed.\n") {
		t.Errorf("makedumpfile with a limit = %d, %q", code, &b.stdout)
	}
	d, err := kdumpfile.Open(bytes.NewReader(b.read(out)))
	if err != nil || !d.Incomplete() {
		t.Fatalf("the dump up to the limit: %v", err)
	}
	if _, err := d.ReadPhysAt(make([]byte, 4096), memmap.PhysAddr(dumptest.Archs[0].Phys)); err != nil {
		t.Errorf("its first page: %v", err)
	}

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	b.stderr.Reset()
	e := &env{stdout: full, stderr: &b.stderr}
	if code := runAs(context.Background(), e, []string{"makedumpfile", "-F", "-d", "0,31", core}); code != 1 || !strings.Contains(b.stderr.String(), "Can't write the dump file(STDOUT). No space left on device\n") || strings.Contains(b.stderr.String(), "Retry") {
		t.Errorf("makedumpfile -F onto a full disk = %d, %q", code, &b.stderr)
	}
}

// Where pages can't be told apart all memory is saved; what is unsupported says so, with a code of its own.
func TestMakedumpfileMessages(t *testing.T) {
	b := newBench(t)
	core := dumptest.MixedCore()
	path := b.file("vmcore", core.Bytes())
	for i := range core.Notes {
		if core.Notes[i].Name == "VMCOREINFO" {
			core.Notes[i].Desc = bytes.ReplaceAll(core.Notes[i].Desc, []byte("SIZE(page)"), []byte("SIZE(sage)"))
		}
	}
	strange := b.file("strange", core.Bytes())
	out := filepath.Join(b.dir, "dump")
	if code := b.makedumpfile(nil, "-d", "31", strange, out); code != 0 || !strings.Contains(b.stderr.String(), strange+": no page but those of zeroes can be left out: ") {
		t.Errorf("makedumpfile of a strange kernel = %d, %q", code, &b.stderr)
	}
	b.wantDump(0, b.read(out))
	os.Remove(out)
	for _, u := range makedumpfilecmd.Unsupported() {
		if !u.Refused || u.Option == "-g" || u.Option == "--config" { // which need -x
			continue
		}
		args := []string{u.Option, path, out}
		if u.Option != "-X" {
			args = []string{u.Option, "FILE", path, out}
		}
		if code := b.makedumpfile(nil, args...); code != makedumpfilecmd.ExitUnsupported || b.stderr.String() != "makedumpfile: "+u.Option+" is not supported: "+u.Why+"\n" {
			t.Errorf("makedumpfile %q = %d, %q", args, code, &b.stderr)
		}
	}
	if code := b.makedumpfile(nil, "--show-stats", "--message-level", "0", "-d", "31", path, out); code != 0 || b.stderr.Len() > 0 || !strings.Contains(b.stdout.String(), "    User process data pages : 0x0000000000000080\n    Free pages              : 0x0000000000000080\n") || strings.Contains(b.stdout.String(), "saved") {
		t.Errorf("makedumpfile --show-stats = %d, %q, %q", code, &b.stdout, &b.stderr)
	}
	if code := b.makedumpfile(nil, "--mem-usage", path); code != 0 || !strings.Contains(b.stdout.String(), "USER\t\t128             \tyes") || strings.Contains(b.stdout.String(), "Completed") {
		t.Errorf("makedumpfile --mem-usage = %d, %q, %q", code, &b.stdout, &b.stderr)
	}
	info := b.file("info", []byte("OSRELEASE=5.10.0\nPAGESIZE=4096\n"))
	if code := b.makedumpfile(nil, "-i", info, "-f", path, out); code != makedumpfilecmd.ExitOtherKernel || !strings.Contains(b.stderr.String(), "don't match") {
		t.Errorf("makedumpfile -i of another kernel = %d, %q", code, &b.stderr)
	}
	if code := b.makedumpfile(nil, "-v"); code != 0 || !strings.HasPrefix(b.stdout.String(), "makedumpfile: version 1.7.8 (gokexec ") {
		t.Errorf("makedumpfile -v = %d, %q", code, &b.stdout)
	}
	if code := b.makedumpfile(nil, "-F", "--message-level", "8", "--dump-dmesg", path); code != 0 || b.stdout.String() != strings.Replace(logLine, "] ", "] [      T0] ", 1) || !strings.Contains(b.stderr.String(), "\n  OSRELEASE=6.12.107\n") {
		t.Errorf("makedumpfile -F --dump-dmesg = %d, %q, %q", code, &b.stdout, &b.stderr)
	}
}

// The page has every option, and both tables.
func TestMakedumpfileMan(t *testing.T) {
	page, usage := makedumpfileMan(), makedumpfileUsage()
	for _, o := range makedumpfilecmd.Options() {
		if !strings.Contains(page, roff(o.Spelling())) || !strings.Contains(usage, "  "+o.Spelling()) {
			t.Errorf("%s is missing", o.Spelling())
		}
	}
	for _, u := range makedumpfilecmd.Unsupported() {
		if !strings.Contains(page, roff(u.Why)) {
			t.Errorf("makedumpfile(8) lacks %q", u.Why)
		}
	}
	for _, d := range makedumpfilecmd.Differences() {
		if !strings.Contains(page, roff(d.When)) || !strings.Contains(page, roff(d.Here)) {
			t.Errorf("makedumpfile(8) lacks %q", d.When)
		}
	}
	b := newBench(t)
	b.want(exitOK, "makedumpfile --mem-usage /proc/kcore", "", "help", "makedumpfile")
}
