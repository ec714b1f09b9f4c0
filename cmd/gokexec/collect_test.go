package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/gokexec/gokexec/internal/recordfs"
)

// A plan made of the record is that of the machine.
func TestCollect(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "machine.tar")
	b.want(exitOK, "unpack it", "", "collect", file)
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := recordfs.Unpack(bytes.NewReader(archive), tree); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"segments", "file"} {
		dry := []string{"load", "--crash", b.vmlinuz, "--initrd", b.initrd, "--method", method, "--dry-run", "--json"}
		b.want(exitOK, "cmdline", "", dry...)
		want := b.stdout.String()
		b.want(exitOK, "cmdline", "", append(dry, "--sysroot", tree, "--arch", "x86_64")...)
		if got := b.stdout.String(); got != want {
			t.Errorf("--method %s: the plan of the record is\n%s\nwant that of the machine:\n%s", method, got, want)
		}
	}
	b.want(exitOK, "", "", "collect", "-")
	if !bytes.Equal(b.stdout.Bytes(), archive) {
		t.Error("collect - writes another archive")
	}
	b.want(exitUsage, "", "one FILE", "collect")
	b.want(exitUsage, "", "vax", "collect", "--arch", "vax", file)

	// Without root the record would be worthless: the one that is there stays.
	b.kernel.Write("proc/iomem", "00000000-00000000 : System RAM\n")
	b.want(exitFailure, "", "hint:", "collect", file)
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, archive) {
		t.Errorf("a failed collect changed the file: %v", err)
	}
}
