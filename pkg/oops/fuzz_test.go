package oops

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRead: any text is read without a panic, within the bounds that the package promises, and the fingerprint does not
// depend on stamps, addresses, CPUs and process numbers.
func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/*.log", "testdata/written/*.log"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add("Kernel panic - not syncing: " + strings.Repeat("x", 9000) + "\nCall Trace:\n" + strings.Repeat(" a+0x1/0x2\n", 2000))
	f.Add(strings.Repeat("BUG: soft lockup - CPU#1 stuck for 1s! [a:1]\n", 100))
	f.Fuzz(func(t *testing.T, text string) {
		o, err := Read(strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrNone) || o != nil {
				t.Fatalf("Read = %+v, %v; want a crash or ErrNone", o, err)
			}
			return
		}
		checkBounds(t, o)
		if again, err := Read(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil || again.Fingerprint() != o.Fingerprint() {
			t.Errorf("with carriage returns: %v, %v; want %s", again, err, o.Fingerprint())
		}
	})
}

func checkBounds(t *testing.T, o *Oops) {
	t.Helper()
	if o.Kind == "" || o.Message == "" || o.Title() == "" || len(o.Fingerprint()) != 16 || len(Significant(o.Kind, o.Frames)) > significantFrames {
		t.Errorf("%+v: want a kind, a message, a title, a fingerprint", o)
	}
	if len(o.Frames) > maxFrames+1 || len(o.Modules) > maxModules || len(o.Message) > maxName || len(o.Comm) > maxName || len(o.Panic) > maxName {
		t.Errorf("%d frames, %d modules, a message of %d bytes; want less", len(o.Frames), len(o.Modules), len(o.Message))
	}
	if o.PC != nil && len(o.Frames) == 0 && o.PC.Symbol != "" && o.Kind.Where() != Nowhere {
		t.Logf("no frames, but %+v", o.PC) // registers of a program
	}
}

// FuzzFingerprint: a log, and the same with other stamps, callers, addresses, CPUs and process numbers.
func FuzzFingerprint(f *testing.F) {
	f.Add("trixie-cloud-null.log", uint64(12345678), uint16(3), uint32(4321))
	f.Add("written/arm64.log", uint64(0), uint16(511), uint32(4194303))
	f.Add("written/ppc64le.log", uint64(1)<<40, uint16(0), uint32(1))
	f.Add("written/rcuself.log", uint64(77), uint16(12), uint32(99))
	f.Fuzz(func(t *testing.T, name string, seed uint64, cpu uint16, pid uint32) {
		if !filepath.IsLocal(name) {
			return
		}
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			return
		}
		want, err := Read(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(strings.NewReader(disguise(string(text), seed, int(cpu%4096), int(pid%4194304)+1)))
		if err != nil {
			t.Fatal(err)
		}
		if got.Fingerprint() != want.Fingerprint() || got.Title() != want.Title() || got.Kind != want.Kind {
			t.Errorf("%s, changed by %d, %d, %d: %s, %q; want %s, %q", name, seed, cpu, pid, got.Fingerprint(), got.Title(), want.Fingerprint(), want.Title())
		}
	})
}
