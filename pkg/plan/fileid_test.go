package plan

import (
	"os"
	"path/filepath"
	"testing"
)

// A file is another one once it was written to, even if its time is set back.
func TestFileID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := func() FileID {
		in, err := Open(&Spec{Kernel: FromFile(path)})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		return in.Spec.Kernel.ID
	}
	before := id()
	if !before.same(id()) {
		t.Error("an untouched file is another one")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for began := id(); began.Changed.Equal(id().Changed); { // until the kernel's clock has ticked
		if err := os.WriteFile(path, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if before.same(id()) {
		t.Error("a file with new content and the old time is the same")
	}
}
