package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/report"
)

// crashedCore is a dump with a log that ends in a panic.
func crashedCore() []byte {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0-test")
	dumptest.ByteRing(m, 4096, 0, []byte("<4>[    1.500000] hello\n<0>[    2.000000] Kernel panic - not syncing: sysrq triggered crash\n"))
	return m.Core().Bytes()
}

// madeTitle is that of madeCore, a dump of a made-up kernel with symbols, types and tasks.
const madeTitle = "NULL pointer dereference in crash_null [made]"

func madeCore() []byte { return dumptest.NewCrashedKernel(false, false).Core().Bytes() }

func TestReport(t *testing.T) {
	b := newBench(t)
	dump := b.file("vmcore", crashedCore())
	b.want(exitOK, "6.12.0-test", "", "report", dump)
	b.want(exitOK, "> [    2.000000] Kernel panic", "", "report", dump)
	out := filepath.Join(b.dir, "out")
	b.want(exitOK, "", "", "report", dump, "-o", out)
	if text := string(b.read(out)); !strings.Contains(text, "End of the kernel log") {
		t.Errorf("-o wrote %q", text)
	}
	b.want(exitOK, `"release": "6.12.0-test"`, "", "report", "--json", dump)
	saved := b.file("report.json", bytes.Clone(b.stdout.Bytes()))
	b.want(exitOK, "6.12.0-test", "", "report", saved)

	// The page alone, and with another form.
	page := filepath.Join(b.dir, "page.html")
	b.want(exitOK, page+": ", "", "report", "--html", page, dump)
	if text := string(b.read(page)); !strings.HasPrefix(text, "<!DOCTYPE html>") || !strings.HasSuffix(text, "</html>\n") {
		t.Errorf("--html wrote %.80q", text)
	}
	b.want(exitOK, "<!DOCTYPE html>", "", "report", "--html", "-", dump)
	b.want(exitOK, `"version": 1`, "", "report", "--html", page, "--json", dump)

	tarred := b.file("tar", tarOf(t, "vmcore", crashedCore()))
	b.want(exitOK, "Kernel panic", "", "report", tarred)
}

func TestReportRefusals(t *testing.T) {
	b := newBench(t)
	garbage := b.file("garbage", bytes.Repeat([]byte("garbage "), 1000))
	future := b.file("future.json", []byte(`{"version": 99}`))
	dump := b.file("vmcore", crashedCore())
	empty := t.TempDir()
	for _, tt := range []struct {
		code int
		says string
		argv []string
	}{
		{exitFailure, "check the path", []string{filepath.Join(b.dir, "none")}},
		{exitFailure, "a dump is wanted", []string{garbage}},
		{exitFailure, "version 99; want 1", []string{future}},
		{exitFailure, "is no directory of a dump", []string{empty}},
		{exitFailure, "must be seekable", []string{"/dev/null"}},
		{exitUsage, "no DUMP", nil},
		{exitUsage, "no DUMP", []string{"--parts"}},
		{exitUsage, "--save names its files", []string{"--save", "--json", empty}},
		{exitFailure, "no such file", []string{"--html", filepath.Join(b.dir, "none/page.html"), dump}},
	} {
		b.want(tt.code, "", tt.says, append([]string{"report"}, tt.argv...)...)
		if b.stdout.Len() > 0 {
			t.Errorf("report %q printed %q", tt.argv, &b.stdout)
		}
	}
}

func TestReportOfDirectory(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(b.dir, "20261130T011203Z")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(capture.VMCoreName, crashedCore())
	b.want(exitOK, "Kernel panic", "", "report", dir)
	b.want(exitOK, dir+": ", "", "report", "--save", dir)
	for _, name := range []string{report.TextName, report.JSONName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it, for root alone", name, info, err)
		}
	}
	b.want(exitOK, "", "", "report", "--save", dir)
	if b.stdout.Len() > 0 {
		t.Errorf("saved again: %q", &b.stdout)
	}
	// What is left when the memory is gone.
	remove := func(name string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	remove(capture.VMCoreName)
	b.want(exitOK, "Kernel panic", "", "report", dir)
	remove(report.JSONName)
	put(capture.LogName, []byte("[    2.000000] Kernel panic - not syncing: alone\n"))
	b.want(exitOK, "Not in this report\n  what the memory tells: the report is made of the log alone", "", "report", dir)
	b.want(exitOK, dir+": ", "", "report", "--save", dir)
}

func TestReportFingerprint(t *testing.T) {
	b := newBench(t)
	log := b.file("log", []byte("[    2.000000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n[    2.000001] Call Trace:\n[    2.000002]  panic+0x335/0x350\n[    2.000003]  mount_root_generic+0x1ba/0x360\n"))
	b.want(exitOK, "mount_root_generic", "", "report", "--fingerprint", log)
	line := b.stdout.String()
	b.want(exitOK, `"fingerprint": "`+line[:16]+`"`, "", "report", "--json", "--fingerprint", log)
	b.stdin = bytes.NewReader(b.read(log))
	b.want(exitOK, line, "", "report", "--fingerprint", "-")
	quiet := b.file("quiet", []byte("[    2.000000] all is well\n"))
	b.want(exitFailure, "", "the log has no crash", "report", "--fingerprint", quiet)
	b.want(exitFailure, "", "check the path", "report", "--fingerprint", quiet+"x")
	b.want(exitUsage, "", "--fingerprint takes a log", "report", "--fingerprint", log, "vmcore")
}

// A directory that others may change could have a link in place of the report: nothing is written there.
func TestReportSavesInOwnDirectoriesOnly(t *testing.T) {
	b := newBench(t)
	make := func(name string, mode os.FileMode) string {
		dir := filepath.Join(b.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, capture.VMCoreName), crashedCore(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	shared, good, linked := make("shared", 0o777), make("good", 0o700), make("linked", 0o700)
	victim := b.file("victim", []byte("keep"))
	for _, name := range []string{report.TextName, report.TextName + ".incomplete"} {
		if err := os.Symlink(victim, filepath.Join(linked, name)); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(b.dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailure, linked+": ", "may be changed by others", "report", "--save", shared, link, linked)
	if string(b.read(victim)) != "keep" {
		t.Error("a link was followed")
	}
	for _, dir := range []string{shared, good} {
		if fileThere(filepath.Join(dir, report.JSONName)) {
			t.Errorf("%s has a report", dir)
		}
	}
	if info, err := os.Lstat(filepath.Join(linked, report.TextName)); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%s: %v, %v; want a file in place of the link", report.TextName, info, err)
	}
}

// The child of a capture, as a process of its own: it bounds its memory.
func TestReportParts(t *testing.T) {
	underLimit(t)
	b := newBench(t)
	cmd := process(t, "report", "--parts", b.file("vmcore", crashedCore()))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	p, err := report.ReadParts(out)
	if err != nil || !strings.Contains(string(p.Text), "Kernel panic") || !json.Valid(p.JSON) {
		t.Errorf("%+v, %v; want all parts", p, err)
	}
}

// A capture makes the report by a process of its own, and saves it with the dump. What names a crash is in its result.
func TestCaptureSavesReport(t *testing.T) {
	underLimit(t)
	b := newBench(t)
	into := t.TempDir()
	source := b.file("vmcore", madeCore())
	if code := b.run("capture", "--json", "--source", source, "dir:"+into); code != exitOK || !strings.Contains(b.stdout.String(), `"files": [`) {
		t.Errorf("capture = %d, %s%s", code, &b.stdout, &b.stderr)
	}
	dirs, err := filepath.Glob(filepath.Join(into, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v; want one dump", dirs, err)
	}
	var result capture.Result
	if err := json.Unmarshal(b.read(filepath.Join(dirs[0], capture.ResultName)), &result); err != nil || result.Report == nil || result.Report.Error != "" {
		t.Fatalf("%+v, %v; want a report", result, err)
	}
	if h := result.Report; h.Title != madeTitle || h.Kind != "null-dereference" || len(h.Fingerprint) != 16 {
		t.Errorf("report = %+v; want %s", h, madeTitle)
	}
	b.want(exitOK, `"fingerprint": "`+result.Report.Fingerprint, "", "report", "--json", filepath.Join(dirs[0], report.JSONName))
	if text := string(b.read(filepath.Join(dirs[0], report.TextName))); !strings.HasPrefix(text, madeTitle+"\n") || !strings.Contains(text, "waits for mutex made_lock, held by") {
		t.Errorf("%s = %q", report.TextName, text)
	}
	if b.run("capture", "--json", "--report-timeout", "0", "--source", source, "dir:"+into); strings.Contains(b.stdout.String(), `"report"`) {
		t.Errorf("--report-timeout 0: %s", &b.stdout)
	}
}

// A maker of a report that takes too much memory ends; what it needs it gets.
func TestReportMemoryIsBounded(t *testing.T) {
	underLimit(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), hogVar+"=1")
	out, err := cmd.CombinedOutput()
	if text := string(out); err == nil || !strings.HasPrefix(text, "1\n2\n4\n") || strings.Contains(text, "\n32\n") {
		t.Errorf("%v, %.300s; want that it ends before 32 MiB, and not before 4", err, out)
	}
}
