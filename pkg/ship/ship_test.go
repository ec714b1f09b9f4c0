package ship_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/seal"
	"github.com/gokexec/gokexec/pkg/ship"
	"github.com/gokexec/gokexec/pkg/store"
)

func TestShip(t *testing.T) {
	dir := t.TempDir()
	st := newMemoryStore()
	vmcore := bytes.Repeat([]byte("memory"), 10000)
	makeDump(t, dir, crashTime(1), vmcore, "")
	makeDump(t, dir, crashTime(2), nil, "")
	if err := os.Mkdir(filepath.Join(dir, "202611300314"), 0o700); err != nil { // of kdump-tools
		t.Fatal(err)
	}
	var order []string
	st.fail = func(op, name string) error {
		if op == "put" && strings.HasPrefix(name, "crashes/"+id(1)) {
			order = append(order, filepath.Base(name))
		}
		return nil
	}
	sum, err := shipper(st).Run(t.Context(), dir)
	if err != nil || sum.Dumps != 2 || sum.Sent != 2 || sum.Pending != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if got := strings.Join(order, " "); got != "manifest.json dmesg.txt result.json vmcore manifest.json" {
		t.Errorf("sent %s", got)
	}
	if got, _, _ := st.Get(t.Context(), fleet.Object(id(1), "vmcore"), 0); !bytes.Equal(got, vmcore) {
		t.Errorf("%d bytes are stored", len(got))
	}
	m := st.manifest(t, id(1))
	if m.VMCore != fleet.Stored || m.BuildID != "0123abcd" || m.VMCoreBytes != int64(len(vmcore)) || len(m.Files) != 3 || m.CrashID != id(1) {
		t.Errorf("%+v", m)
	}
	if m := st.manifest(t, id(2)); m.VMCore != fleet.None || len(m.Files) != 2 {
		t.Errorf("%+v", m)
	}
	// Once more: nothing is sent.
	order = nil
	if sum, err := shipper(st).Run(t.Context(), dir); err != nil || sum.Bytes != 0 || sum.Sent != 0 || order != nil {
		t.Errorf("%+v, %v, %v", sum, err, order)
	}
	// And to another place: all of it.
	other := newMemoryStore()
	s := shipper(other)
	s.Location = "s3://other"
	if sum, err := s.Run(t.Context(), dir); err != nil || sum.Sent != 2 {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum, err := s.Run(t.Context(), filepath.Join(dir, "none")); err != nil || sum.Dumps != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// A store that fails at any request costs nothing: the next runs go on, and nothing is sent twice.
func TestShipFails(t *testing.T) {
	vmcore := bytes.Repeat([]byte("memory"), 1000)
	for after := 0; ; after++ {
		dir := t.TempDir()
		makeDump(t, dir, crashTime(1), vmcore, "panic-in-test")
		st := newMemoryStore()
		n := 0
		st.fail = func(op, name string) error {
			if n++; n == after+1 {
				return errGone
			}
			return nil
		}
		sum, err := shipper(st).Run(t.Context(), dir)
		if err == nil {
			if n > after || after < 8 {
				t.Fatalf("request %d failed, and no error; %d requests", after, n)
			}
			return
		}
		if !errors.Is(err, errGone) || sum.Failures != 1 || sum.Pending != 1 {
			t.Fatalf("request %d: %+v, %v", after, sum, err)
		}
		if rec, err := ship.ReadRecord(filepath.Join(dir, "20261130T030001Z")); err != nil || rec.Error == "" {
			t.Errorf("request %d: %+v, %v", after, rec, err)
		}
		if sum, err := shipper(st).Run(t.Context(), dir); err != nil || sum.Sent != 1 {
			t.Fatalf("request %d, again: %+v, %v", after, sum, err)
		}
		for name, puts := range st.puts {
			if puts > 1 && !strings.HasSuffix(name, fleet.ManifestName) && !strings.Contains(name, "claim") {
				t.Errorf("request %d: %s was sent %d times", after, name, puts)
			}
		}
		if m := st.manifest(t, id(1)); m.VMCore != fleet.Stored || len(m.Files) != 3 {
			t.Errorf("request %d: %+v", after, m)
		}
		if len(st.names("/0/done")) != 1 {
			t.Errorf("request %d: nobody says that it is done", after)
		}
	}
}

// Memory is removed here only if that is asked for, and the store has confirmed it.
func TestShipKeeps(t *testing.T) {
	for _, tt := range []struct {
		keep        int
		unconfirmed bool
		left        int
	}{{-1, false, 4}, {2, false, 2}, {0, false, 0}, {0, true, 4}} {
		dir := t.TempDir()
		for n := range 4 {
			makeDump(t, dir, crashTime(n), []byte("memory"), "")
		}
		st := newMemoryStore()
		st.unconfirmed = tt.unconfirmed
		s := shipper(st)
		s.Keep = tt.keep
		sum, err := s.Run(t.Context(), dir)
		left, _ := filepath.Glob(filepath.Join(dir, "*", "vmcore"))
		if err != nil || len(left) != tt.left || sum.Freed != int64(4-tt.left)*6 {
			t.Errorf("%+v: %d left, %+v, %v", tt, len(left), sum, err)
		}
		if tt.left == 2 && (!strings.Contains(left[0], "030002") || !strings.Contains(left[1], "030003")) {
			t.Errorf("%v are left; want the newest", left)
		}
		if logs, _ := filepath.Glob(filepath.Join(dir, "*", "dmesg.txt")); len(logs) != 4 {
			t.Errorf("%d logs are left", len(logs))
		}
		// What could not be sent stays, too.
		st = newMemoryStore()
		st.fail = func(op, name string) error { return errGone }
	}
}

// Where enough of a fingerprint are stored, the memory stays here, and is not removed.
func TestShipDuplicates(t *testing.T) {
	dir := t.TempDir()
	for n := range 4 {
		makeDump(t, dir, crashTime(n), []byte("memory"), "BUG: in foo/bar+0x10")
	}
	// The report of one was made after the reboot.
	d := makeDump(t, dir, crashTime(4), []byte("memory"), "")
	if err := os.WriteFile(filepath.Join(d, dumpdir.ReportJSON), []byte(`{"version": 1, "fingerprint": "BUG: in foo/bar+0x10"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	st := newMemoryStore()
	s := shipper(st)
	s.Keep = 0
	sum, err := s.Run(t.Context(), dir)
	if err != nil || sum.Sent != 3 || sum.Duplicates != 2 || sum.Pending != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "vmcore"))
	if n := len(st.names("/vmcore")); n != 3 || len(left) != 2 || len(st.names(fleet.ManifestName)) != 5 {
		t.Errorf("%d dumps, %d left", n, len(left))
	}
	if m := st.manifest(t, id(0)); m.VMCore != fleet.Duplicate || m.Why == "" {
		t.Errorf("%+v", m)
	}
}

// A store without conditional writes: that is said, and all is sent.
func TestShipUnconditional(t *testing.T) {
	dir := t.TempDir()
	for n := range 5 {
		makeDump(t, dir, crashTime(n), []byte("memory"), "x")
	}
	st := newMemoryStore()
	st.unconditional = true
	sum, err := shipper(st).Run(t.Context(), dir)
	if err != nil || sum.Sent != 5 {
		t.Errorf("%+v, %v", sum, err)
	}
	if m := st.manifest(t, id(0)); !strings.Contains(m.Why, store.ErrUnconditional.Error()) {
		t.Errorf("%+v", m)
	}
}

// While others send theirs, it waits; when they are dead, it takes their place.
func TestShipTakesOver(t *testing.T) {
	st := newMemoryStore()
	claims := &fleet.Claims{Store: st, TTL: time.Hour}
	for n := range 3 {
		if _, err := claims.Take(t.Context(), "x", fmt.Sprint("other-", n)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	d := makeDump(t, dir, crashTime(1), []byte("memory"), "x")
	s := shipper(st)
	sum, err := s.Run(t.Context(), dir)
	if !errors.Is(err, ship.ErrDeferred) || sum.Pending != 1 || sum.Failures != 0 || len(st.names("/vmcore")) != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if len(st.names("dmesg.txt")) != 1 {
		t.Error("the log is not stored")
	}
	time.Sleep(20 * time.Millisecond)
	s.TTL = 10 * time.Millisecond
	if sum, err := s.Run(t.Context(), dir); err != nil || sum.Sent != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if rec, err := ship.ReadRecord(d); err != nil || rec.VMCore != fleet.Stored || !rec.Confirmed || rec.Over.IsZero() {
		t.Errorf("%+v, %v", rec, err)
	}
}

// Nothing but the manifest can be read without the key, and what was encrypted is the same when it is sent again.
func TestShipEncrypts(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := seal.ParseRecipients([]string{key.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret := []byte("the secret memory of the kernel")
	d := makeDump(t, dir, crashTime(1), secret, "")
	st := newMemoryStore()
	s := shipper(st)
	s.Encrypt = recipients
	lost := true
	st.fail = func(op, name string) error {
		if op == "answer" && strings.HasSuffix(name, "vmcore.age") && lost {
			lost = false
			return errGone
		}
		return nil
	}
	if _, err := s.Run(t.Context(), dir); !errors.Is(err, errGone) {
		t.Fatal(err)
	}
	if sum, err := s.Run(t.Context(), dir); err != nil || sum.Sent != 1 || st.puts["crashes/"+id(1)+"/vmcore.age"] != 1 {
		t.Fatalf("%+v, %v, sent %d times", sum, err, st.puts["crashes/"+id(1)+"/vmcore.age"])
	}
	for name, o := range st.objects {
		if bytes.Contains(o.data, secret[:10]) || bytes.Contains(o.data, []byte("Kernel panic")) || bytes.Contains(o.data, []byte("capture_time")) {
			t.Errorf("%s can be read", name)
		}
	}
	var got bytes.Buffer
	if err := seal.Decrypt(&got, bytes.NewReader(st.objects["crashes/"+id(1)+"/vmcore.age"].data), []age.Identity{key}); err != nil || !bytes.Equal(got.Bytes(), secret) {
		t.Errorf("%q, %v", &got, err)
	}
	if m := st.manifest(t, id(1)); !m.Encrypted || m.VMCore != fleet.Stored {
		t.Errorf("%+v", m)
	}
	if left, _ := filepath.Glob(filepath.Join(d, "*.age*")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// Two processes at once: one of them works.
func TestShipLocked(t *testing.T) {
	dir := t.TempDir()
	makeDump(t, dir, crashTime(1), []byte("memory"), "")
	st := newMemoryStore()
	st.fail = func(op, name string) error {
		if op == "put" && strings.HasSuffix(name, "/vmcore") {
			if _, err := shipper(newMemoryStore()).Run(t.Context(), dir); !errors.Is(err, ship.ErrLocked) {
				t.Errorf("the second process: %v", err)
			}
		}
		return nil
	}
	if sum, err := shipper(st).Run(t.Context(), dir); err != nil || sum.Sent != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// Links and other people's directories are no dumps.
func TestShipHostile(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	d := makeDump(t, outside, crashTime(1), []byte("memory"), "")
	if err := os.Symlink(d, filepath.Join(dir, filepath.Base(d))); err != nil {
		t.Fatal(err)
	}
	open := makeDump(t, dir, crashTime(2), []byte("memory"), "")
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	linked := makeDump(t, dir, crashTime(3), nil, "")
	for _, name := range []string{"vmcore", "report.txt"} {
		if err := os.Symlink("/etc/passwd", filepath.Join(linked, name)); err != nil {
			t.Fatal(err)
		}
	}
	st := newMemoryStore()
	sum, err := shipper(st).Run(t.Context(), dir)
	if err != nil || sum.Dumps != 1 || sum.Sent != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	for _, o := range st.objects {
		if bytes.Contains(o.data, []byte("root:")) {
			t.Error("a file outside is stored")
		}
	}
}
