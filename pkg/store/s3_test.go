package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/storelab"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/store"
)

// content is bytes that are the same for the same seed, and their SHA-256.
func content(size int, seed uint64) ([]byte, string) {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b)
	sum := sha256.Sum256(b)
	return b, hex.EncodeToString(sum[:])
}

func open(t testing.TB, s remote.Settings) store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), s, store.Options{Getenv: storelab.Getenv, Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// brokenReader ends with an error.
type brokenReader struct {
	io.Reader
	err error
}

func (r brokenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

// Every kind of store keeps what it is given, in all sizes around those of its parts.
func testStore(t *testing.T, st store.Store, read func(name string) ([]byte, error), keepsBroken bool, sizes ...int) {
	ctx := t.Context()
	const part = remote.MinPart
	if sizes == nil {
		sizes = []int{0, 1, 1000, part - 1, part, part + 1, 2 * part, 2*part + 12345}
	}
	for i, size := range sizes {
		data, sum := content(size, uint64(i))
		for _, how := range []string{"file", "stream"} {
			name := fmt.Sprintf("sizes/%d/%s", size, how)
			src := store.FileSource(bytes.NewReader(data), int64(size), sum)
			if how == "stream" {
				src = store.Source{Reader: bytes.NewReader(data)}
			}
			stored, err := st.Put(ctx, name, src)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := read(name)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s: %d bytes, %v; want %d", name, len(got), err, size)
			}
			if stored.SHA256 != sum || stored.Bytes != int64(size) || stored.Name != name || how == "file" && !stored.Confirmed {
				t.Errorf("%s: %+v", name, stored)
			}
			if info, err := st.Stat(ctx, name); err != nil || info.Size != int64(size) {
				t.Errorf("%s: %+v, %v", name, info, err)
			}
		}
	}
	// What broke off is there under another name only.
	for _, size := range []int{1000, part, 2*part + 7} {
		data, sum := content(size, 99)
		name := fmt.Sprintf("broken/%d", size)
		stored, err := st.Put(ctx, name, store.Source{Reader: brokenReader{bytes.NewReader(data), remote.ErrAbandoned}})
		if !keepsBroken {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		} else if got, readErr := read(name + ".incomplete"); err != nil || stored.SHA256 != sum || readErr != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %+v, %v; %d bytes, %v", name, stored, err, len(got), readErr)
		}
		if _, err := read(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
		other := errors.New("the source is gone")
		if _, err := st.Put(ctx, name+"x", store.Source{Reader: brokenReader{bytes.NewReader(data), other}}); !errors.Is(err, other) {
			t.Errorf("%s: %v; want %v", name, err, other)
		}
		for _, suffix := range []string{"x", "x.incomplete"} {
			if _, err := read(name + suffix); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s%s is there: %v", name, suffix, err)
			}
		}
	}
	// A file that is not what it was.
	data, _ := content(2*part+1, 5)
	if _, err := st.Put(ctx, "changed", store.FileSource(bytes.NewReader(data), int64(len(data)), strings.Repeat("00", 32))); err == nil {
		t.Error("a file with another digest is stored")
	}
	testSmall(t, st)
}

func testSmall(t *testing.T, st store.Store) {
	ctx := t.Context()
	if _, err := st.Stat(ctx, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of nothing: %v", err)
	}
	if _, _, err := st.Get(ctx, "none", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of nothing: %v", err)
	}
	if err := st.Delete(ctx, "none"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
	for i, want := range []bool{true, false, false} {
		if created, err := st.PutNew(ctx, "claims/one", []byte{byte(i)}); err != nil || created != want {
			t.Errorf("create %d: %v, %v; want %v", i, created, err, want)
		}
	}
	// The same again is its own, since an answer may be lost.
	if created, err := st.PutNew(ctx, "claims/one", []byte{0}); err != nil || !created {
		t.Errorf("create it again: %v, %v", created, err)
	}
	got, info, err := st.Get(ctx, "claims/one", 10)
	if err != nil || !bytes.Equal(got, []byte{0}) || info.Age < -2e9 || info.Age > 60e9 {
		t.Errorf("%x, %+v, %v", got, info, err)
	}
	if err := st.Delete(ctx, "claims/one"); err != nil {
		t.Error(err)
	}
	if _, err := st.Stat(ctx, "claims/one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted, but %v", err)
	}
}

func TestS3(t *testing.T) {
	server := storelab.StartS3(t)
	s := server.Settings("a/prefix")
	s.PartBytes = remote.MinPart
	testStore(t, open(t, s), func(name string) ([]byte, error) { return os.ReadFile(server.Path("a/prefix/" + name)) }, true)
}

// What is wrong is said in a line, with what to do.
func TestS3Refuses(t *testing.T) {
	server := storelab.StartS3(t)
	good := server.Settings("p")
	wrong := good
	wrong.Location = "s3://other-bucket/p"
	nobody := good
	nobody.Endpoint = "http://" + storelab.FreeAddress(t)
	nobody.PatienceSeconds = 1
	for name, c := range map[string]struct {
		settings remote.Settings
		secret   string
		want     string
	}{
		"no bucket":    {wrong, storelab.SecretKey, "there is no bucket other-bucket (404 NoSuchBucket)"},
		"wrong secret": {good, "wrong", "the credentials are refused (403 SignatureDoesNotMatch)"},
		"nobody":       {nobody, storelab.SecretKey, "connection refused"},
	} {
		env := func(name string) string {
			if name == "AWS_SECRET_ACCESS_KEY" {
				return c.secret
			}
			return storelab.Getenv(name)
		}
		st, err := store.Open(t.Context(), c.settings, store.Options{Getenv: env})
		if err != nil {
			t.Fatal(err)
		}
		data, sum := content(6<<20, 1)
		_, err = st.Put(t.Context(), "x", store.FileSource(bytes.NewReader(data), int64(len(data)), sum))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		t.Logf("%s: %v; hint: %s", name, err, advice.Hint(err))
	}
}
