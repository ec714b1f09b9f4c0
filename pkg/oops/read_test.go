package oops

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// One fault on three kernels, and another on three architectures.
func TestSameOnAll(t *testing.T) {
	for _, same := range []struct {
		pattern, title string
		significant    []string
	}{
		{"*-null.log", "NULL pointer dereference in crash_null_inner [crashmodule]",
			[]string{"crash_null_inner@crashmodule", "crash_null@crashmodule", "crash_set@crashmodule", "param_attr_store", "module_attr_store"}},
		{"*-sysrq.log", "crash by SysRq", nil},
	} {
		files, err := filepath.Glob(filepath.Join("testdata", same.pattern))
		if err != nil || len(files) < 3 {
			t.Fatalf("%s: %d files, %v", same.pattern, len(files), err)
		}
		prints := map[string]bool{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o, err := Read(strings.NewReader(string(text)))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if o.Title() != same.title || !slices.Equal(Significant(o.Kind, o.Frames), same.significant) {
				t.Errorf("%s: %q, %q; want %q, %q", file, o.Title(), Significant(o.Kind, o.Frames), same.title, same.significant)
			}
			prints[o.Fingerprint()] = true
		}
		if len(prints) != 1 {
			t.Errorf("%s: fingerprints %v; want one", same.pattern, prints)
		}
	}
}

func TestReadNone(t *testing.T) {
	for _, text := range []string{"", "\n", "[    0.000000] Linux version 6.12.1\n[    1.0] WARNING: this is no crash\n"} {
		if o, err := Read(strings.NewReader(text)); !errors.Is(err, ErrNone) {
			t.Errorf("Read(%q) = %+v, %v; want ErrNone", text, o, err)
		}
	}
}
