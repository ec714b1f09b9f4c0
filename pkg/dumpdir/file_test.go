package dumpdir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func openRoot(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// must is for what prepares a test.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEach(t *testing.T) {
	root, dir := openRoot(t)
	for name, mode := range map[string]os.FileMode{"20260101T000000Z": 0o700, "20260101T000000Z-1": 0o755, "20260102T000000Z": 0o777, "202601010000": 0o700} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	must(t, os.Symlink("20260101T000000Z", filepath.Join(dir, "20260103T000000Z")))
	must(t, os.WriteFile(filepath.Join(dir, "20260104T000000Z"), nil, 0o600))
	var seen []string
	err := Each(root, func(d Dump, sub *os.Root) {
		if when, number, _ := ParseName(d.Name); !when.Equal(d.Crash) || number != d.Number || filepath.Base(sub.Name()) != d.Name {
			t.Errorf("%+v, %s", d, sub.Name())
		}
		seen = append(seen, d.Name)
	})
	slices.Sort(seen)
	if want := []string{"20260101T000000Z", "20260101T000000Z-1"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("%q, %v; want %q", seen, err, want)
	}
}

func TestReadJSON(t *testing.T) {
	root, dir := openRoot(t)
	for name, text := range map[string]string{"good": `{"outcome": "complete"}`, "broken": "{", "large": strings.Repeat(" ", MaxJSON) + "{}"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(t, os.Symlink("good", filepath.Join(dir, "link")))
	must(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	var s Summary
	if err := ReadJSON(root, "good", &s); err != nil || s.Outcome != "complete" {
		t.Errorf("%+v, %v", s, err)
	}
	for name, want := range map[string]string{"broken": "broken: ", "large": "larger than", "link": "not a regular file", "directory": "not a regular file", "pipe": "not a regular file"} {
		if err := ReadJSON(root, name, &s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
	if err := ReadJSON(root, "none", &s); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// A file is replaced whole or not at all, and links that somebody has put there are replaced, not followed.
func TestReplace(t *testing.T) {
	root, dir := openRoot(t)
	must(t, os.WriteFile(filepath.Join(dir, "victim"), []byte("keep"), 0o600))
	for _, name := range []string{"ship.json", "ship.json.incomplete"} {
		must(t, os.Symlink("victim", filepath.Join(dir, name)))
	}
	put := func(text string, failure error) error {
		return Replace(root, "ship.json", func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, failure)
		})
	}
	if err := put("first", nil); err != nil {
		t.Fatal(err)
	}
	if err := put("second", syscall.ENOSPC); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("no error of the writer: %v", err)
	}
	for name, want := range map[string]string{"ship.json": "first", "victim": "keep"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", name, b, err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v; want nothing left over", entries, err)
	}
}
