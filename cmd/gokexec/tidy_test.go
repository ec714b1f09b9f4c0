package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plantedDump makes a dump as a capture leaves it.
func (b *bench) plantedDump(dir, name string) string {
	b.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		b.t.Fatal(err)
	}
	for file, text := range map[string]string{"dmesg.txt": "log", "vmcore": strings.Repeat("x", 1<<20), "result.json": `{"outcome": "complete", "capture_time": "2026-01-02T03:04:05Z"}`} {
		if err := os.WriteFile(filepath.Join(path, file), []byte(text), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return path
}

func TestTidyCommand(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	var dumps []string
	for _, name := range []string{"20260101T000000Z", "20260102T000000Z", "20260103T000000Z"} {
		dumps = append(dumps, b.plantedDump(dir, name))
	}
	left := func() (n int) {
		for _, d := range dumps {
			if _, err := os.Stat(filepath.Join(d, "vmcore")); err == nil {
				n++
			}
			if _, err := os.Stat(filepath.Join(d, "dmesg.txt")); err != nil {
				t.Errorf("the log is gone: %v", err)
			}
		}
		return n
	}
	b.want(exitOK, "", "", "tidy", dir)
	b.want(exitOK, "", "", "tidy")
	if n := left(); n != 3 || b.stdout.Len() > 0 {
		t.Errorf("%d dumps are left, and no number was given; %s", n, &b.stdout)
	}
	b.want(exitOK, dumps[0]+": removed its memory, ", "", "tidy", "--keep-dumps", "2", "--keep-free", "0", dir)
	if n := left(); n != 2 {
		t.Errorf("%d dumps are left; want 2", n)
	}
	if code := b.run("tidy", "--json", "--keep-dumps", "1", "--keep-free", "0", "dir:"+dir, filepath.Join(dir, "none")); code != exitOK {
		t.Errorf("tidy = %d: %s", code, &b.stderr)
	}
	var report struct {
		Removed []struct {
			Dump  string
			Bytes int64
		}
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &report); err != nil || len(report.Removed) != 1 || report.Removed[0].Dump != dumps[1] || report.Removed[0].Bytes < 1<<20 || left() != 1 {
		t.Errorf("tidy --json prints %s, %v", &b.stdout, err)
	}
	// As free as that no filesystem gets: the newest stays.
	b.want(exitOK, "", "", "tidy", "--keep-dumps", "9", "--keep-free", "99%", dir)
	if n := left(); n != 1 {
		t.Errorf("%d dumps are left; want the newest", n)
	}
	b.want(exitUsage, "", "keep_dumps is -1", "tidy", "--keep-dumps", "-1", dir)
	b.want(exitUsage, "", "keep_free", "tidy", "--keep-free", "x", dir)
	b.want(exitUsage, "", `target "nonsense"`, "tidy", "nonsense")
	b.want(exitFailure, "", "target dir:"+dumps[2]+"/vmcore", "tidy", "--keep-dumps", "1", dumps[2]+"/vmcore")
}
