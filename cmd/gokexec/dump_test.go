package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// Any form comes in, any comes out, and the file is replaced when it is complete.
func TestDump(t *testing.T) {
	b := newBench(t)
	core := dumptest.MixedCore().Bytes()
	source := b.file("vmcore", core)
	out := b.file("dump", []byte("here before"))
	for _, tt := range []struct {
		level int
		args  []string
		codec kdumpfile.Codec
	}{
		{31, nil, kdumpfile.CodecZstd}, {0, []string{"--dump-level", "0"}, kdumpfile.CodecZstd}, {9, []string{"--dump-level=9", "--compress=zlib"}, kdumpfile.CodecZlib},
		{16, []string{"--dump-level=16", "--compress=none", "--jobs=1"}, kdumpfile.CodecNone}, {31, []string{"--compress=lzo"}, kdumpfile.CodecLZO}, {31, []string{"--compress=snappy", "--format=flattened"}, kdumpfile.CodecSnappy},
	} {
		b.want(exitOK, out+": ", "", append([]string{"dump", source, "-o", out}, tt.args...)...)
		if c := b.wantDump(tt.level, b.read(out)).(*kdumpfile.Compressed); c.Header.Codec() != tt.codec || c.Header.DumpLevel != tt.level {
			t.Errorf("gokexec dump %q has level %d, codec %v", tt.args, c.Header.DumpLevel, c.Header.Codec())
		}
	}
	for _, format := range []string{"elf", "flattened-elf"} {
		b.want(exitOK, "", "", "dump", source, "-o", out, "--format", format)
		if _, ok := b.wantDump(31, b.read(out)).(*kdumpfile.ELF); !ok {
			t.Errorf("--format %s makes no ELF core", format)
		}
	}
	// What is no file gets a stream, and the report is not in it.
	if code := b.run("dump", source, "-o", "-"); code != exitOK || !strings.Contains(b.stderr.String(), "left out: free") {
		t.Errorf("gokexec dump -o - = %d, %q", code, &b.stderr)
	}
	b.wantDump(31, b.stdout.Bytes())
	compressed := b.file("compressed", bytes.Clone(b.stdout.Bytes()))
	tarred := b.file("tar", tarOf(t, "vmcore", core))
	for _, in := range []string{compressed, tarred} {
		b.want(exitOK, "", "", "dump", in, "-o", out, "--format", "elf", "--dump-level", "0")
	}
	b.wantDump(0, b.read(out))

	b.want(exitOK, `"dump_level": 25`, "", "dump", source, "-o", out, "--json", "--dump-level", "25")
	var s dumpSummary
	if err := json.Unmarshal(b.stdout.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Left["user"] != 128 || s.Left["free"] != 128 || s.Left["zero"] == 0 || s.Left["cache"] != 0 || s.PageSize != 4096 || s.Bytes != int64(len(b.read(out))) || s.Kept+s.Left["user"]+s.Left["free"]+s.Left["zero"] != s.Pages || s.Whole != "" {
		t.Errorf("the summary is %+v", s)
	}
}

// A dump that fails leaves the file as it was.
func TestDumpErrors(t *testing.T) {
	b := newBench(t)
	source := b.file("vmcore", dumptest.MixedCore().Bytes())
	text := b.file("text", bytes.Repeat([]byte("no dump\n"), 1000))
	out := b.file("dump", []byte("here before"))
	for _, tt := range []struct {
		code   int
		stderr string
		args   []string
	}{
		{exitUsage, "no SOURCE", []string{"-o", out}},
		{exitUsage, "no -o FILE", []string{source}},
		{exitUsage, "--dump-level: ", []string{source, "-o", out, "--dump-level", "32"}},
		{exitUsage, "--dump-level: ", []string{source, "-o", out, "--dump-level", "1,x"}},
		{exitUsage, `--format: "qcow2" is not kdump`, []string{source, "-o", out, "--format", "qcow2"}},
		{exitUsage, "--compress: ", []string{source, "-o", out, "--compress", "rar"}},
		{exitUsage, "--jobs -1", []string{source, "-o", out, "--jobs", "-1"}},
		{exitUsage, "--target goes with --estimate", []string{source, "-o", out, "--target", "/var"}},
		{exitFailure, "no dump found", []string{text, "-o", out}},
		{exitFailure, "no such file", []string{filepath.Join(b.dir, "missing"), "-o", out}},
		{exitFailure, "no such file", []string{source, "-o", filepath.Join(b.dir, "none/dump")}},
		{exitFailure, "no space left on device", []string{source, "-o", "/dev/full"}},
	} {
		b.want(tt.code, "", tt.stderr, append([]string{"dump"}, tt.args...)...)
	}
	if got := b.read(out); string(got) != "here before" {
		t.Errorf("the file is %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, ".gokexec.*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// A level of the list is tried when there was no room for the one before, and only then.
func TestDumpLevels(t *testing.T) {
	b := newBench(t)
	full := fmt.Errorf("write: %w", unix.ENOSPC)
	for _, tt := range []struct {
		levels []pagefilter.Level
		errs   []error
		again  error
		want   []pagefilter.Level
		err    error
	}{
		{[]pagefilter.Level{0, 1, 31}, []error{full, full, nil}, nil, []pagefilter.Level{0, 1, 31}, nil},
		{[]pagefilter.Level{1, 31}, []error{nil}, nil, []pagefilter.Level{1}, nil},
		{[]pagefilter.Level{1, 31}, []error{&os.PathError{Op: "write", Err: unix.EFBIG}, nil}, nil, []pagefilter.Level{1, 31}, nil},
		{[]pagefilter.Level{1, 31}, []error{unix.EDQUOT, nil}, nil, []pagefilter.Level{1, 31}, nil},
		{[]pagefilter.Level{1, 31}, []error{full, full}, nil, []pagefilter.Level{1, 31}, full},
		{[]pagefilter.Level{1, 31}, []error{unix.EIO}, nil, []pagefilter.Level{1}, unix.EIO},
		{[]pagefilter.Level{1, 31}, []error{full}, unix.ESPIPE, []pagefilter.Level{1}, full},
	} {
		b.stderr.Reset()
		w := &dumpWriting{env: &env{stderr: &b.stderr}, dumpOptions: &dumpOptions{}, levels: tt.levels, report: &dumpProgress{}}
		var tried []pagefilter.Level
		_, err := w.byLevels(func() (excerpt.Report, error) {
			tried = append(tried, w.form.Level)
			return excerpt.Report{}, tt.errs[len(tried)-1]
		}, func() error { return tt.again })
		if fmt.Sprint(tried) != fmt.Sprint(tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("levels %v with %v: tried %v, %v; want %v, %v", tt.levels, tt.errs, tried, err, tt.want, tt.err)
		}
		if said := strings.Count(b.stderr.String(), "the next is"); said != len(tried)-1 {
			t.Errorf("%d lines say which level is next: %q", said, &b.stderr)
		}
	}
	f, err := os.Create(filepath.Join(b.dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("half a dump")
	if err := startAgain(f); err != nil || len(b.read(f.Name())) != 0 {
		t.Errorf("startAgain() = %v, %d bytes left", err, len(b.read(f.Name())))
	}
	if err := startAgain(&bytes.Buffer{}); err == nil {
		t.Error("startAgain of a stream = no error")
	}
}

func TestDumpEstimate(t *testing.T) {
	b := newBench(t)
	source := b.file("vmcore", dumptest.MixedCore().Bytes())
	b.want(exitOK, "left out by", "", "dump", "--estimate", source)
	for _, want := range []string{"\nuser", "512.0 KiB", "\ndump level   zstd", "\n31 "} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("the estimate lacks %q:\n%s", want, &b.stdout)
		}
	}
	out := filepath.Join(b.dir, "dump")
	b.want(exitOK, `"bytes_at_level"`, "", "dump", "--estimate", "--json", "--compress", "snappy", source, "-o", out)
	var r estimateReport
	if err := json.Unmarshal(b.stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Levels) != 32 || len(r.ELF) != 32 || len(r.Targets) != 1 || r.Targets[0].Target != b.dir || r.Targets[0].Free == 0 || r.Compress != "snappy" {
		t.Errorf("the estimate is %+v", r)
	}
	for _, level := range []int{1, 9, 25, 31} {
		b.want(exitOK, "", "", "dump", source, "-o", out, "--compress", "snappy", "--dump-level", fmt.Sprint(level))
		if size := int64(len(b.read(out))); r.Levels[level] < size-3*4096 || r.Levels[level] > size+3*4096 {
			t.Errorf("the estimate of level %d is %d; the dump has %d", level, r.Levels[level], size)
		}
	}
	b.want(exitFailure, "", "/proc/kcore", "dump", "--estimate") // the made-up machine has no VMCOREINFO
	b.want(exitUsage, "", "--target: ", "dump", "--estimate", source, "--target", "tape:/dev/st0")
}
