package capture

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// plantDump makes a dump as a capture leaves it, of so many MiB; with a name that ends in "?" an incomplete one.
func plantDump(t *testing.T, dir, name string, mib int) string {
	t.Helper()
	name, incomplete := strings.CutSuffix(name, "?")
	memory, outcome := VMCoreName, Complete
	if incomplete {
		memory, outcome = IncompleteName, Incomplete
	}
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		LogName:    []byte("log"),
		ResultName: fmt.Appendf(nil, `{"outcome": %q, "capture_time": "2026-01-02T03:04:05Z"}`, outcome),
	}
	if mib > 0 {
		files[memory] = make([]byte, mib<<20)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(path, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// memories are the dumps of a directory that have their memory.
func memories(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	for _, memory := range []string{VMCoreName, IncompleteName} {
		found, err := filepath.Glob(filepath.Join(dir, "*", memory))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name := filepath.Base(filepath.Dir(f))
			if memory == IncompleteName {
				name += "?"
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestTidy(t *testing.T) {
	const a, b, c, d = "20260101T000000Z", "20260102T000000Z", "20260102T000000Z-2", "20260102T000000Z-10"
	for _, tt := range []struct {
		name  string
		dumps []string
		keep  int
		want  string
	}{
		{"nothing is asked for", []string{a, b, c}, 0, a + " " + b + " " + c},
		{"enough", []string{a, b, c}, 3, a + " " + b + " " + c},
		{"by age, not as text", []string{d, c, b, a}, 2, d + " " + c},
		{"one", []string{a, b, c, d}, 1, d},
		{"incomplete ones count", []string{a, b + "?", c}, 2, b + "? " + c},
		{"the newest complete one stays", []string{a, b + "?", c + "?"}, 1, a + " " + c + "?"},
		{"all incomplete", []string{a + "?", b + "?"}, 1, b + "?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range tt.dumps {
				plantDump(t, dir, name, 1)
			}
			removed, err := Tidy(dir, Config{KeepDumps: tt.keep, KeepFree: "0"})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Fields(tt.want)
			slices.Sort(want)
			if got := memories(t, dir); got != strings.Join(want, " ") {
				t.Errorf("left are %s; want %s", got, want)
			}
			if len(removed) != len(tt.dumps)-len(want) {
				t.Errorf("removed %v", removed)
			}
			for _, name := range tt.dumps {
				for _, file := range []string{LogName, ResultName} {
					mustRead(t, filepath.Join(dir, strings.TrimSuffix(name, "?"), file))
				}
			}
			for _, r := range removed {
				if r.Bytes < 1<<20 || r.Whole || filepath.Dir(r.Dump) != dir {
					t.Errorf("removed %+v", r)
				}
			}
		})
	}
}

// What no capture has made stays, and neither a link nor a name leads elsewhere.
func TestTidyKnowsItsOwn(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	newest := plantDump(t, dir, "20260301T000000Z", 1)
	other := plantDump(t, elsewhere, "20250101T000000Z", 1)
	link := filepath.Join(dir, "20250101T000000Z")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	var stay []string
	keep := func(name string, change func(path string) error) {
		t.Helper()
		path := plantDump(t, dir, name, 1)
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		stay = append(stay, filepath.Join(path, VMCoreName))
	}
	write := func(name, text string) func(string) error {
		return func(path string) error { return os.WriteFile(filepath.Join(path, name), []byte(text), 0o600) }
	}
	nothing := func(string) error { return nil }
	keep("20260101T000000", nothing)
	keep("20260101T000000Z-0", nothing)
	keep("20260101T000000Z-01", nothing)
	keep("20260101T000000Z-x", nothing)
	keep("20261301T000000Z", nothing)
	keep("127.0.0.1-2026-01-01-00:00:00", nothing) // kdump-utils
	keep("202601010000", nothing)                  // kdump-tools
	keep("20260101T000001Z", func(path string) error { return os.Remove(filepath.Join(path, ResultName)) })
	keep("20260101T000002Z", write(ResultName, "{}"))
	keep("20260101T000003Z", write(ResultName, `{"outcome": "good", "capture_time": "2026-01-02T03:04:05Z"}`))
	keep("20260101T000004Z", write(ResultName, strings.Repeat(" ", dumpdir.MaxJSON+1)))
	keep("20260101T000005Z", func(path string) error { return os.Chmod(path, 0o777) })
	keep("20260101T000006Z", func(path string) error {
		return os.Rename(filepath.Join(path, ResultName), filepath.Join(path, "other"))
	})
	keep("20260101T000007Z", func(path string) error {
		if err := os.Remove(filepath.Join(path, ResultName)); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(other, ResultName), filepath.Join(path, ResultName))
	})
	// The memory is a link: neither it nor what it leads to goes.
	linked := plantDump(t, dir, "20260101T000008Z", 0)
	if err := os.Symlink(filepath.Join(other, VMCoreName), filepath.Join(linked, VMCoreName)); err != nil {
		t.Fatal(err)
	}
	removed, err := Tidy(dir, Config{KeepDumps: 1, KeepFree: "0"})
	if err != nil || len(removed) > 0 {
		t.Errorf("Tidy = %v, %v; want nothing removed", removed, err)
	}
	for _, name := range append(stay, filepath.Join(newest, VMCoreName), filepath.Join(other, VMCoreName), filepath.Join(link, VMCoreName), filepath.Join(linked, VMCoreName)) {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// Of dumps without memory the last hundred stay; what else is in such a directory keeps it.
func TestTidyLogs(t *testing.T) {
	dir := t.TempDir()
	name := func(i int) string { return fmt.Sprintf("20260101T%02d%02d00Z", i/60, i%60) }
	for i := range keptLogs + 3 {
		plantDump(t, dir, name(i), 0)
	}
	if err := os.WriteFile(filepath.Join(dir, name(1), "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	removed, err := Tidy(dir, Config{KeepDumps: 5})
	if err != nil || len(removed) != 2 || !removed[0].Whole {
		t.Errorf("Tidy = %v, %v; want 2 directories removed", removed, err)
	}
	for i, there := range []bool{false, true, false, true} {
		if _, err := os.Stat(filepath.Join(dir, name(i))); (err == nil) != there {
			t.Errorf("%s: %v; want it there: %t", name(i), err, there)
		}
	}
}

// Before a dump old ones make room: beyond the number that is kept, and then as far as the dump needs it.
func TestCaptureTidies(t *testing.T) {
	const a, b, c = "20200101T000000Z", "20200102T000000Z", "20200103T000000Z"
	const mib = 1 << 20
	for _, tt := range []struct {
		name    string
		keep    int
		total   int64 // MiB of the disk
		outcome Outcome
		left    string
	}{
		{"all stay", 0, 100, Complete, a + " " + b + " " + c},
		{"nothing may go, and there is no room", 0, 7, LogOnly, a + " " + b + " " + c},
		{"as many as are kept", 4, 100, Complete, a + " " + b + " " + c},
		{"one too many", 3, 100, Complete, b + " " + c},
		{"one old dump stays", 1, 100, Complete, c},
		{"room is needed", 9, 8, Complete, c},
		{"room is needed as the dump grows", 9, 9, Complete, b + " " + c},
		{"no room even so", 9, 5, Incomplete, c},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(testVMCore(t))) // 4 MiB
			if err := os.Mkdir(s.path("/crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{a, b, c} {
				plantDump(t, s.path("/crash"), name, 2)
			}
			smallDisk(s, tt.total*mib, 0, 0)
			var console strings.Builder
			res, err := Run(context.Background(), Config{Format: FormatELF, DumpLevel: "0", KeepFree: "0", KeepDumps: tt.keep,
				Targets: []Target{{Type: TargetDirectory, Path: "/crash"}}}, Options{System: s, Console: &console})
			if res == nil || res.Outcome != tt.outcome {
				t.Fatalf("Run = %+v, %v; want %s\n%s", res, err, tt.outcome, &console)
			}
			var left []string
			for _, name := range strings.Fields(memories(t, s.path("/crash"))) {
				if !strings.HasPrefix(name, testDirName) {
					left = append(left, name)
				}
			}
			if got := strings.Join(left, " "); got != tt.left {
				t.Errorf("of the old dumps there are %s; want %s\n%s", got, tt.left, &console)
			}
			if gone := 3 - len(left); gone != strings.Count(console.String(), "removed the memory of the dump") {
				t.Errorf("%d dumps are gone, and the console says\n%s", gone, &console)
			}
		})
	}
}

// A dump is for root alone: its directory, and each file in it.
func TestDumpIsPrivate(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	if err := os.Mkdir(s.path("/crash"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), Config{Targets: []Target{{Type: TargetDirectory, Path: "/crash"}}}, Options{System: s}); err != nil {
		t.Fatal(err)
	}
	names := map[string]fs.FileMode{".": fs.ModeDir | 0o700, LogName: 0o600, VMCoreName: 0o600, ResultName: 0o600}
	for name, want := range names {
		info, err := os.Stat(filepath.Join(s.path("/crash"), testDirName, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info, err, want)
		}
	}
}
