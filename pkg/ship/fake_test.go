package ship_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/ship"
	"github.com/gokexec/gokexec/pkg/store"
)

// memoryStore is a store in memory, which answers as a server of S3 does.
type memoryStore struct {
	mu      sync.Mutex
	objects map[string]object
	puts    map[string]int // how often an object was sent
	// unconditional: it takes conditions, and ignores them.
	unconditional bool
	// unconfirmed: it doesn't say what digest an object has.
	unconfirmed bool
	// fail, if it is not nil, is asked before each request.
	fail func(op, name string) error
}

type object struct {
	data []byte
	when time.Time
}

func newMemoryStore() *memoryStore {
	return &memoryStore{objects: map[string]object{}, puts: map[string]int{}}
}

func (m *memoryStore) ask(op, name string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(op, name)
}

func (m *memoryStore) Put(ctx context.Context, name string, src store.Source) (remote.Stored, error) {
	if err := m.ask("put", name); err != nil {
		return remote.Stored{}, err
	}
	r := src.Reader
	if src.File != nil {
		r = io.NewSectionReader(src.File, 0, src.Size)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return remote.Stored{}, err
	}
	sum := sha256.Sum256(b)
	stored := remote.Stored{Name: name, Bytes: int64(len(b)), SHA256: hex.EncodeToString(sum[:]), Confirmed: !m.unconfirmed}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.objects[name]; ok && bytes.Equal(old.data, b) && src.File != nil {
		stored.Reused = stored.Bytes
		return stored, nil
	}
	if src.Gate != nil {
		m.mu.Unlock()
		err := src.Gate(ctx)
		m.mu.Lock()
		if err != nil {
			return remote.Stored{}, err
		}
	}
	m.objects[name] = object{b, time.Now()}
	m.puts[name]++
	return stored, m.ask("answer", name)
}

func (m *memoryStore) PutNew(_ context.Context, name string, data []byte) (bool, error) {
	if err := m.ask("new", name); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.objects[name]; ok && !m.unconditional {
		return bytes.Equal(old.data, data), nil
	}
	m.objects[name] = object{bytes.Clone(data), time.Now()}
	return true, nil
}

func (m *memoryStore) Get(_ context.Context, name string, _ int64) ([]byte, store.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	if !ok {
		return nil, store.Info{}, fs.ErrNotExist
	}
	return o.data, store.Info{Size: int64(len(o.data)), Age: time.Since(o.when)}, nil
}

func (m *memoryStore) Stat(ctx context.Context, name string) (store.Info, error) {
	if err := m.ask("stat", name); err != nil {
		return store.Info{}, err
	}
	_, info, err := m.Get(ctx, name, 0)
	return info, err
}

func (m *memoryStore) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

func (m *memoryStore) Close() error { return nil }

// names are those that end with something.
func (m *memoryStore) names(suffix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.objects {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
	}
	return names
}

// makeDump makes a dump as a capture leaves it, and returns its directory.
func makeDump(t testing.TB, dir string, when time.Time, vmcore []byte, fingerprint string) string {
	t.Helper()
	d := filepath.Join(dir, when.UTC().Format("20060102T150405Z"))
	if err := os.MkdirAll(d, 0o700); err != nil {
		t.Fatal(err)
	}
	result := map[string]any{"outcome": "complete", "crash_time": when.UTC(), "capture_time": when.UTC(), "build_id": "0123abcd", "report": map[string]any{"fingerprint": fingerprint}, "log": map[string]any{"file": "dmesg.txt"}, "vmcore": map[string]any{"file": "vmcore"}}
	b, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"dmesg.txt": []byte("[    1.0] Kernel panic\n"), "result.json": b}
	if vmcore != nil {
		files["vmcore"] = vmcore
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(d, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

const machine = "00000000000040008000000000000001"

func shipper(st store.Store) *ship.Shipper {
	return &ship.Shipper{Store: st, Location: "s3://test", MachineID: machine, Limit: fleet.DefaultLimit, TTL: time.Hour, Keep: -1}
}

func (m *memoryStore) manifest(t testing.TB, id string) fleet.Manifest {
	t.Helper()
	b, _, err := m.Get(t.Context(), fleet.Object(id, fleet.ManifestName), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var manifest fleet.Manifest
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest
}

var errGone = errors.New("the server is gone")

func crashTime(n int) time.Time { return time.Date(2026, 11, 30, 3, 0, n, 0, time.UTC) }

func id(n int) string { return fmt.Sprintf("%s-%s", machine, crashTime(n).Format("20060102T150405Z")) }
