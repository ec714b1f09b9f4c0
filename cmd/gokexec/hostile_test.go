package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/imagetest"
)

// limited runs a command with 600 MB of memory that is written to and 10 s of CPU: the test's limits.
func (b *bench) limited(argv ...string) (code int, out string) {
	b.t.Helper()
	return b.child(`{ ulimit -d 600000 && ulimit -t 10; } || exit 125; exec timeout 60 "$0" "$@"`, argv...)
}

// underLimit skips a test that bounds the memory of a process where the bound is too low for the test program itself.
func underLimit(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector needs more memory than the limit: make unit runs this test without it")
	}
}

// A few kilobytes that claim a machine of 2^37 pages or more end in an error, and cost little.
func TestHostileDumps(t *testing.T) {
	underLimit(t)
	b := newBench(t)
	head := func(pages uint64) []byte {
		k := dumptest.KDump{Core: dumptest.NewImage(dumptest.Archs[0], "6.12.0").Core(), Uname: "x86_64", Release: "6.12.0", Version: 6, Word: 8, Align8: 8, BlockSize: 4096, Pages: 8}
		h := k.Bytes()[:2*4096]
		binary.LittleEndian.PutUint32(h[436:], uint32(2*((pages/8+4095)/4096)))
		binary.LittleEndian.PutUint64(h[4096+96:], pages)
		return h
	}
	files := map[string]string{
		"flattened": b.file("flattened", dumptest.Flatten(dumptest.FlatRecord{Data: head(1 << 40)}, dumptest.FlatRecord{Offset: 1<<38 + 8192, Data: []byte{1}})),
		"sparse":    b.file("sparse", head(1<<37)),
	}
	if err := os.Truncate(files["sparse"], 1<<42); err != nil {
		t.Logf("no sparse file of 4 TiB here: %v", err)
		delete(files, "sparse")
	}
	for name, path := range files {
		code, out := b.limited("dmesg", path)
		if code != exitFailure || !strings.Contains(out, name) || !strings.Contains(out, "VMCOREINFO") {
			t.Errorf("dmesg of the %s file: %d, %.500s; want that there is no VMCOREINFO", name, code, out)
		}
		// A report is always made.
		code, out = b.limited("report", path)
		if code != exitOK || !strings.Contains(out, "Not in this report") || !strings.Contains(out, "VMCOREINFO") {
			t.Errorf("report of the %s file: %d, %.500s; want one that says what is missing", name, code, out)
		}
	}
}

// A kernel that unpacks to more than its crash memory is refused before it takes that much.
func TestHostileKernels(t *testing.T) {
	underLimit(t)
	b := newBench(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	image := imagetest.GoodBzImage().Bytes()
	for _, part := range append([][]byte{image}, make([][]byte, 1000)...) {
		if part == nil {
			part = make([]byte, 1<<20)
		}
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	kernel := b.file("vmlinuz.gz", packed.Bytes())
	for _, argv := range [][]string{{"load", "--crash", kernel, "--dry-run"}, {"load", "--crash", kernel}, {"check", kernel}} {
		code, out := b.limited(argv...)
		if code != exitFailure || !strings.Contains(out, "too large: it unpacks to more than 134217728 bytes") || !strings.Contains(out, "crash memory") {
			t.Errorf("%v: %d, %.500s", argv, code, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(b.kernel.Dir, "run/gokexec/crash.json")); err != nil || len(left) > 0 {
		t.Errorf("a load is noted: %v, %v", left, err)
	}
}
