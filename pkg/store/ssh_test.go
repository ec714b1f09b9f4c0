package store_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/storelab"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/store"
)

func TestSSH(t *testing.T) {
	for _, withSFTP := range []bool{true, false} {
		name := "sftp"
		if !withSFTP {
			name = "cat"
		}
		t.Run(name, func(t *testing.T) {
			server := storelab.StartSSH(t, withSFTP)
			sizes := []int{0, 1000, 18 << 20}
			st := open(t, server.Settings("a b/it's"))
			testStore(t, st, func(name string) ([]byte, error) { return os.ReadFile(server.Path("a b/it's/" + name)) }, true, sizes...)
			if left, _ := filepath.Glob(server.Path("a b/it's/*/*.part")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// What cannot work is said when it is prepared, and not after a crash.
func TestSSHRefuses(t *testing.T) {
	server := storelab.StartSSH(t, true)
	good := server.Settings("x")
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := os.ReadFile(server.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(server.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked")
	stranger := filepath.Join(dir, "stranger")
	for path, phrase := range map[string]string{locked: "secret", stranger: ""} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	otherKey, err := os.ReadFile(stranger + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(string(known), " ")
	for name, c := range map[string]struct {
		change func(*remote.Settings)
		want   string
		early  bool // Prepare finds it
	}{
		"key that others can read": {func(s *remote.Settings) { s.SSHKey = file("open", string(key), 0o644) }, "has the mode 0644", true},
		"key with a passphrase":    {func(s *remote.Settings) { s.SSHKey = locked }, "has a passphrase", true},
		"no key":                   {func(s *remote.Settings) { s.SSHKey = file("none", "hello", 0o600) }, "no key found", true},
		"unknown host":             {func(s *remote.Settings) { s.KnownHosts = []string{file("empty", "", 0o600)} }, "is in no file of known hosts", true},
		"revoked host": {func(s *remote.Settings) {
			s.KnownHosts = []string{file("revoked", string(known)+"@revoked * "+strings.SplitN(string(known), " ", 2)[1], 0o600)}
		}, "is in no file of known hosts", true},
		"another host's key": {func(s *remote.Settings) { s.KnownHosts = []string{file("other", address+" "+string(otherKey), 0o600)} }, "has another key (SHA256:", false},
		"unknown user's key": {func(s *remote.Settings) { s.SSHKey = stranger }, "does not accept the key", false},
		"no server": {func(s *remote.Settings) {
			s.Location = "ssh://root@" + storelab.FreeAddress(t) + "/x"
			s.HostKeys = []string{string(otherKey)}
		}, "refused", false},
		"no directory": {func(s *remote.Settings) { s.Location = strings.Replace(s.Location, "/files/", "/id/", 1) }, "id", false},
	} {
		s := good
		s.PatienceSeconds = 1
		c.change(&s)
		prepared, err := store.Prepare(t.Context(), s)
		if c.early && err == nil {
			t.Errorf("%s: it is found too late", name)
			continue
		}
		if err == nil {
			if len(prepared.HostKeys) == 0 || prepared.KnownHosts != nil {
				t.Errorf("%s: %+v", name, prepared)
			}
			var st store.Store
			st, err = store.Open(t.Context(), prepared, store.Options{})
			if err == nil {
				data, sum := content(1000, 1)
				_, err = st.Put(t.Context(), "x", store.FileSource(bytes.NewReader(data), 1000, sum))
				st.Close()
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		t.Logf("%s: %v; hint: %s", name, err, advice.Hint(err))
	}
}
