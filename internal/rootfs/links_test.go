package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "usr/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "usr/lib/f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"lib": "usr/lib", "abs": "/lib/new", "up": "../../../usr", "one": "two", "two": "one", "gone": "nowhere/x"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root := os.DirFS(dir)
	for _, tt := range []struct{ name, want, wantNew string }{
		{"lib/f", "usr/lib/f", "usr/lib/f"},
		{"up/lib", "usr/lib", "usr/lib"},
		{".", ".", "."},
		{"abs", "", "usr/lib/new"},
		{"lib/new/deeper", "", "usr/lib/new/deeper"},
		{"gone/y", "", "nowhere/x/y"},
		{"lib/f/below", "", ""}, // a file on the way
		{"one", "", ""},         // a circle
		{"../x", "", ""},
		{"/x", "", ""},
	} {
		for _, f := range []struct {
			resolve func(fs.FS, string) (string, error)
			want    string
		}{{Resolve, tt.want}, {ResolveNew, tt.wantNew}} {
			got, err := f.resolve(root, tt.name)
			if got != f.want || (err == nil) != (f.want != "") {
				t.Errorf("resolve(%s) = %q, %v; want %q", tt.name, got, err, f.want)
			}
		}
	}
	if _, err := Resolve(root, "gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Resolve(gone): %v; want fs.ErrNotExist", err)
	}
}
