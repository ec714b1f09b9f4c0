package main

import (
	"archive/tar"
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
)

const logLine = "[   42.123999] Kernel panic - not syncing: sysrq triggered crash\n"

// exampleDump is a small dump of an x86_64 machine with one line of log.
func exampleDump() *dumptest.KDump {
	a := dumptest.Archs[0]
	m := dumptest.NewImage(a, "6.12.107")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 4, SizeBits: 10})
	r.Add(dumptest.Entry{Time: 42123999000, Text: []byte("Kernel panic - not syncing: sysrq triggered crash")}, dumptest.Finalized)
	r.Store()
	return &dumptest.KDump{Core: m.Core(), Uname: "x86_64", Release: "6.12.107", Version: 6, Word: 8, Align8: 8, BlockSize: 4096,
		PhysBase: a.Phys - (a.Virt - 0xffffffff80000000),
		Pack: func(_ int, page []byte) ([]byte, uint32) {
			var b bytes.Buffer
			w := zlib.NewWriter(&b)
			w.Write(page)
			w.Close()
			return b.Bytes(), 1
		}}
}

// tarOf is a tar stream with one file.
func tarOf(t *testing.T, name string, data []byte) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Each form of a dump gives the same text, by each of the names.
func TestVmcoreDmesgForms(t *testing.T) {
	b := newBench(t)
	k := exampleDump()
	marked := exampleDump()
	marked.Status = 8
	flat := dumptest.FlattenFile(k.Bytes(), 1000)
	for _, tt := range []struct {
		name, stderr string
		file         []byte
	}{
		{"ELF", "", k.Core.Bytes()},
		{"compressed", "", k.Bytes()},
		{"flattened ELF", "", dumptest.FlattenFile(k.Core.Bytes(), 1000)},
		{"flattened", "", flat},
		{"tar of ELF", "", tarOf(t, "vmcore", k.Core.Bytes())},
		{"tar of flattened", "", tarOf(t, "x/vmcore", flat)},
		{"tar, incomplete", "it is incomplete", tarOf(t, "vmcore.incomplete", k.Core.Bytes())},
		{"compressed, incomplete", "it is incomplete: its writer marked it as incomplete", marked.Bytes()},
		{"flattened, cut off", "it is incomplete: flattened file: it ends at", flat[:len(flat)-16]},
		{"raw device", "", append(bytes.Clone(flat), make([]byte, 5000)...)},
	} {
		path := b.file("dump", tt.file)
		b.want(exitOK, logLine, tt.stderr, "dmesg", path)
		for _, argv := range [][]string{{"vmcore-dmesg", path}, {"/sbin/vmcore-dmesg", path}, {"gokexec", "vmcore-dmesg", path}} {
			code, stdout, stderr := b.runAs(argv...)
			if code != 0 || stdout != logLine || !strings.Contains(stderr, tt.stderr) || (tt.stderr == "") != (stderr == "") {
				t.Errorf("%s: %q = %d, %q, %q; want the log, and %q", tt.name, argv, code, stdout, stderr, tt.stderr)
			}
		}
	}
}

// runAs runs gokexec by the name argv[0].
func (b *bench) runAs(argv ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = runAs(context.Background(), &env{stdout: &out, stderr: &errs, sysroot: b.dir, kernel: b.kernel}, argv)
	return code, out.String(), errs.String()
}

// The parts of a split dump are joined by dmesg; vmcore-dmesg takes one file and says so.
func TestDmesgSplit(t *testing.T) {
	b := newBench(t)
	k := exampleDump()
	k.Split, k.Start, k.End = true, 0, 0x3000
	first := b.file("first", k.Bytes())
	k.Start, k.End = 0x3000, k.MaxPage()
	second := b.file("second", k.Bytes())
	b.want(exitOK, logLine, "", "dmesg", second, first)
	b.want(exitFailure, "", "hint: give all the files that makedumpfile --split wrote", "dmesg", second)
	b.want(exitFailure, "", "two files have page", "dmesg", second, second, first)
	b.want(exitFailure, "", "no such file", "dmesg", second, filepath.Join(b.dir, "none"))
	if code, stdout, stderr := b.runAs("vmcore-dmesg", second); code != 10 || stdout != "" || !strings.Contains(stderr, "part of a split dump") {
		t.Errorf("vmcore-dmesg PART = %d, %q, %q; want 10", code, stdout, stderr)
	}
}

// Exit codes of dumps that the original can't read at all, or misreads.
func TestVmcoreDmesgExitCodes(t *testing.T) {
	b := newBench(t)
	k := exampleDump()
	compressed := k.Bytes()
	noLog := exampleDump()
	noLog.Exclude = func(pfn uint64) bool { return pfn == noLog.Core.Loads[0].Phys>>12 }
	noNotes := exampleDump()
	noNotes.NoNotes = true
	garbled := bytes.Clone(compressed)
	for i := len(garbled) - 50; i < len(garbled); i++ {
		garbled[i] ^= 0xff
	}
	for _, tt := range []struct {
		name   string
		file   []byte
		code   int
		stderr string
	}{
		{"header cut off", compressed[:100], 16, "read the header"},
		{"bitmap cut off", compressed[:8200], 16, "cut off"},
		{"unknown version", append([]byte("KDUMP   \x09\x00\x00\x00"), compressed[12:]...), 16, "header version is 9"},
		{"page of the log left out", noLog.Bytes(), 30, "left out by the dump's filter"},
		{"no notes", noNotes.Bytes(), 50, "no VMCOREINFO"},
		{"garbled page", garbled, 40, "unpack"},
		{"tar of something else", tarOf(t, "etc/passwd", []byte("root")), 4, "no dump found"},
		{"flattened text", dumptest.Flatten(dumptest.FlatRecord{Data: []byte("hello")}), 4, "not a dump of a known format"},
	} {
		code, stdout, stderr := b.runAs("vmcore-dmesg", b.file("dump", tt.file))
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: vmcore-dmesg = %d, %q, %q; want %d, %q", tt.name, code, stdout, stderr, tt.code, tt.stderr)
		}
	}
	if code, _, stderr := b.runAs("/sbin/vmcore-dmesg"); code != 1 || stderr != "usage: /sbin/vmcore-dmesg <kernel core file>\n" {
		t.Errorf("vmcore-dmesg without arguments = %d, %q", code, stderr)
	}
	path := b.file("dump", compressed)
	e := &env{stdout: failing{}, stderr: io.Discard}
	if code := runAs(context.Background(), e, []string{"vmcore-dmesg", path}); code != 54 {
		t.Errorf("vmcore-dmesg without room for its output = %d; want 54", code)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("no room") }

// gokexec stays gokexec by any other name.
func TestRunAs(t *testing.T) {
	b := newBench(t)
	for _, argv := range [][]string{{"gokexec", "version"}, {"/usr/sbin/gokexec", "version"}, {"vmcore-dmesg.old", "version"}} {
		if code, stdout, _ := b.runAs(argv...); code != 0 || !strings.HasPrefix(stdout, "gokexec ") {
			t.Errorf("runAs(%q) = %d, %q", argv, code, stdout)
		}
	}
	for _, argv := range [][]string{nil, {"gokexec"}} {
		if code, _, stderr := b.runAs(argv...); code != exitUsage || !strings.Contains(stderr, "usage:") {
			t.Errorf("runAs(%q) = %d, %q", argv, code, stderr)
		}
	}
	b.want(exitOK, "", "", "help", "--man", b.dir)
	page, err := os.ReadFile(filepath.Join(b.dir, "vmcore-dmesg.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{".SH NAME\nvmcore\\-dmesg \\- ", ".SH SYNOPSIS\n.B vmcore\\-dmesg\nFILE\n", ".SH DIFFERENCES\n", ".SH EXIT STATUS\n.TP\n.B 0\n", "\n.B 54\n"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("vmcore-dmesg.8 lacks %q:\n%s", part, page)
		}
	}
}
