package plan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// What was built in memory is kept by its digest, without its bytes, and can't be opened from a record.
func TestBuiltSource(t *testing.T) {
	const secret = "bytes of an initramfs"
	built := FromBuilt("the initramfs", []byte(secret))
	first, err := json.Marshal(built)
	if err != nil || strings.Contains(string(first), secret) || !strings.Contains(string(first), `"path":"the initramfs"`) {
		t.Fatalf("recorded as %s, %v", first, err)
	}
	var kept Source
	if err := json.Unmarshal(first, &kept); err != nil || kept.Data != nil || kept.Built != built.Built || !kept.Same(built) {
		t.Fatalf("came back as %+v, %v", kept, err)
	}
	if again, err := json.Marshal(&kept); err != nil || string(again) != string(first) {
		t.Errorf("recorded again as %s, %v; want %s", again, err, first)
	}
	if other, _ := json.Marshal(FromBuilt("the initramfs", []byte("other"))); string(other) == string(first) {
		t.Error("another one is recorded as the same")
	}
	if in, err := Open(&Spec{Kernel: &kept}); !errors.Is(err, ErrBuilt) {
		t.Errorf("opened from a record: %+v, %v; want ErrBuilt", in, err)
	}
	in, err := Open(&Spec{Kernel: built})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if b, err := in.Kernel.Bytes(); err != nil || string(b) != secret || in.Kernel.Handle() != nil {
		t.Errorf("opened as %q, %v", b, err)
	}
}
