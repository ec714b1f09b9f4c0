package differential

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Without /proc/kcore, VMCOREINFO through /dev/mem tells the same map where the
// kernel is not randomized, and is not enough where it is.
func TestMachineWithoutKcore(t *testing.T) {
	trees, err := filepath.Glob("testdata/machines/*.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, tree := range trees {
		m := collected(t, tree)
		root := os.DirFS(m.Dir)
		with, err := kcore.ReadMachine(root)
		if err != nil || with.Map == nil {
			t.Fatalf("%s: %v, %v", m.name, err, with.MapErr)
		}
		note := kcoreNote(t, m)
		m.Write("dev/mem", "")
		mem, err := os.OpenFile(filepath.Join(m.Dir, "dev/mem"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mem.WriteAt(note, int64(with.VMCoreInfo.Addr)); err != nil {
			t.Fatal(err)
		}
		if err := mem.Truncate(int64(with.VMCoreInfo.Addr) + int64(with.VMCoreInfo.Size)); err != nil {
			t.Fatal(err)
		}
		mem.Close()
		m.Remove("proc/kcore")
		without, err := kcore.ReadMachine(root)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		cmdline, err := os.ReadFile(filepath.Join(m.Dir, "proc/cmdline"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(cmdline), "nokaslr") {
			if without.Map != nil || !errors.Is(without.MapErr, kcore.ErrNotEnough) || !errors.Is(without.MapErr, kcore.ErrKcoreUnreadable) {
				t.Errorf("%s has a random direct map: got %+v, %v; want ErrNotEnough", m.name, without.Map, without.MapErr)
			}
			continue
		}
		told++
		if without.Map == nil {
			t.Errorf("%s: %v", m.name, without.MapErr)
			continue
		}
		got, want := without.Map, with.Map
		code := with.Iomem.Named("Kernel code")[0].Range()
		if got.Direct != want.Direct || got.Machine != want.Machine || got.Text.Virt-uint64(got.Text.Phys) != want.Text.Virt-uint64(want.Text.Phys) ||
			!(memmap.Range{Start: got.Text.Phys, End: got.Text.Phys + memmap.PhysAddr(got.Text.MemSize)}).Contains(code) {
			t.Errorf("%s: without kcore the map is %+v; with it %+v", m.name, *got, *want)
		}
	}
	if told == 0 {
		t.Error("no collected machine is without KASLR: nothing was compared")
	}
}

// kcoreNote is the part of a machine's kcore that has the notes.
func kcoreNote(t *testing.T, m *testMachine) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(m.Dir, "proc/kcore"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	// The name of an ELF note follows its three words.
	at := strings.Index(string(b), "VMCOREINFO\x00")
	if at < 12 {
		t.Fatalf("%s: no VMCOREINFO in kcore", m.name)
	}
	return b[at-12:]
}
