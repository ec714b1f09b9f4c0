package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/gokexec/gokexec/pkg/seal"
)

func key(t testing.TB) (public string, identities []age.Identity) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("# a key\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	identities, err = seal.ReadIdentities(file)
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), identities
}

func TestRoundTrip(t *testing.T) {
	public, private := key(t)
	other, otherKey := key(t)
	_, stranger := key(t)
	r, err := seal.ParseRecipients([]string{public, other})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		plain := bytes.Repeat([]byte("memory"), size/6+1)[:size]
		sealed, err := io.ReadAll(r.Reader(iotest.HalfReader(bytes.NewReader(plain))))
		if err != nil {
			t.Fatal(err)
		}
		if size > 100 && bytes.Contains(sealed, plain[:50]) {
			t.Error("it can be read")
		}
		if over := int64(len(sealed) - size); over > seal.Overhead(int64(size)) {
			t.Errorf("%d bytes more for %d", over, size)
		}
		for _, keys := range [][]age.Identity{private, otherKey} {
			var got bytes.Buffer
			if err := seal.Decrypt(&got, bytes.NewReader(sealed), keys); err != nil || !bytes.Equal(got.Bytes(), plain) {
				t.Errorf("%d bytes: %d, %v", size, got.Len(), err)
			}
		}
		if err := seal.Decrypt(io.Discard, bytes.NewReader(sealed), stranger); !errors.Is(err, seal.ErrKey) {
			t.Errorf("another key: %v", err)
		}
		for name, bad := range map[string][]byte{"cut off": sealed[:len(sealed)-1], "changed": append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1)} {
			if err := seal.Decrypt(io.Discard, bytes.NewReader(bad), private); err == nil {
				t.Errorf("%s, and no error", name)
			}
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(r.Reader(iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("%v; want %v", err, broken)
	}
	for _, bad := range []string{"", "age1", "AGE-SECRET-KEY-1", "ssh-ed25519 AAAA", public + "\n" + other} {
		if _, err := seal.ParseRecipients([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func Example() {
	id, _ := age.GenerateX25519Identity() // as age-keygen does
	recipients, err := seal.ParseRecipients([]string{id.Recipient().String()})
	if err != nil {
		fmt.Println(err)
	}
	sealed := recipients.Reader(bytes.NewReader([]byte("memory")))
	err = seal.Decrypt(os.Stdout, sealed, []age.Identity{id})
	fmt.Println("", err)
	// Output: memory <nil>
}
