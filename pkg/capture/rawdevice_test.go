package capture

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/elfcore"
)

func rawConfig(overwrite bool) Config {
	return Config{Format: FormatELF, DumpLevel: "0", Targets: []Target{{Type: TargetRaw, Device: "/dev/disk", Overwrite: overwrite}}, DeviceTimeoutSeconds: 1, KeepDumpDays: new(0)}
}

func runRaw(s *fakeSystem, overwrite bool) (*Result, error) {
	return Run(context.Background(), rawConfig(overwrite), Options{System: s, Version: "v1"})
}

// untar reads a stream as tar does: GNU tar takes one block of zeros for the end,
// with a warning, where Go wants two.
func untar(r *bytes.Reader) (names []string, contents map[string][]byte, err error) {
	contents = make(map[string][]byte)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return names, contents, nil
		}
		if errors.Is(err, tar.ErrHeader) {
			var block [tarBlock]byte
			if _, err := r.ReadAt(block[:], r.Size()-int64(r.Len())-2*tarBlock); err == nil && block == [tarBlock]byte{} {
				return names, contents, nil
			}
		}
		if err != nil {
			return names, contents, err
		}
		if h.Typeflag == tar.TypeXGlobalHeader && h.Name == commentName {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return names, contents, fmt.Errorf("%s: %w", h.Name, err)
		}
		names = append(names, h.Name)
		contents[h.Name] = b
	}
}

func TestRunRaw(t *testing.T) {
	s, vmcore := newFakeSystem(t), testVMCore(t)
	s.file(t, VMCorePath, string(vmcore))
	s.device(t, "disk", 16<<20)
	for range 2 { // the second one goes over the first
		res, err := runRaw(s, false)
		if err != nil || ExitCode(res, err) != ExitComplete || res.Location != "/dev/disk" {
			t.Fatalf("Run = %+v, %v; want complete", res, err)
		}
	}
	image := mustRead(t, s.path("/dev/disk"))
	names, contents, err := untar(bytes.NewReader(image))
	if want := []string{LogName, VMCoreName, ResultName}; err != nil || !slices.Equal(names, want) {
		t.Fatalf("tar holds %q, %v; want %q", names, err, want)
	}
	if !bytes.Equal(contents[VMCoreName], vmcore) || !strings.Contains(string(contents[LogName]), "Kernel panic") {
		t.Error("contents differ")
	}
	if r := readResult(t, contents[ResultName]); r.Outcome != Complete || r.VMCore.SavedBytes != int64(len(vmcore)) {
		t.Errorf("result = %+v", r)
	}
	d, err := OpenRaw(s.path("/dev/disk"))
	if err != nil || d.Name != VMCoreName || d.Incomplete || d.Size() != int64(len(vmcore)) {
		t.Fatalf("OpenRaw = %+v, %v", d, err)
	}
	defer d.Close()
	if core, err := elfcore.New(d, d.Size()); err != nil || len(core.Damage) > 0 {
		t.Errorf("the dump read in place: %v", err)
	}
	if !bytes.Equal(image[d.Offset:d.Offset+d.Size()], vmcore) {
		t.Error("Offset is not that of the dump")
	}
	if d.Offset%dumpAlign != 0 {
		t.Errorf("the dump begins at %d; want a multiple of %d", d.Offset, dumpAlign)
	}
}

// TestTarCommand: tar itself takes the stream, with what is behind its end.
func TestTarCommand(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("no tar")
	}
	s, vmcore := newFakeSystem(t), testVMCore(t)
	s.file(t, VMCorePath, string(vmcore))
	s.device(t, "disk", 8<<20)
	if _, err := runRaw(s, false); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := exec.Command("tar", "-C", dir, "-xf", s.path("/dev/disk")).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	if !bytes.Equal(mustRead(t, dir+"/vmcore"), vmcore) {
		t.Error("vmcore differs")
	}
}

// TestRawFailures: the stream stays well-formed, and has the log and a result.
func TestRawFailures(t *testing.T) {
	vmcore := testVMCore(t)
	eio := func(from int64) func(int64) error {
		failed := false
		return func(offset int64) error {
			if offset >= from && !failed {
				failed = true
				return syscall.EIO
			}
			return nil
		}
	}
	tests := []struct {
		name    string
		size    int64
		fault   fault
		outcome Outcome
		want    error
		entries string
	}{
		{"too small", 2 << 20, fault{}, Incomplete, syscall.ENOSPC, "dmesg.txt vmcore.incomplete result.json"},
		{"odd size", 2<<20 + 100, fault{}, Incomplete, syscall.ENOSPC, "dmesg.txt vmcore.incomplete result.json"},
		{"room for nothing", 1 << 10, fault{}, Failed, syscall.ENOSPC, ""},
		{"room for the log", resultRoom + 3*tarBlock, fault{}, LogOnly, syscall.ENOSPC, "dmesg.txt result.json"},
		{"one bad place", 8 << 20, fault{write: eio(2 << 20)}, Incomplete, syscall.EIO, "dmesg.txt vmcore.incomplete result.json"},
		{"read-only", 8 << 20, fault{write: func(int64) error { return syscall.EROFS }}, Failed, syscall.EROFS, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(vmcore))
			s.device(t, "disk", tt.size)
			if tt.name == "one bad place" {
				// The end marker of the dump comes first there; spare it.
				late := tt.fault.write
				written := false
				tt.fault.write = func(o int64) error {
					if written || o == dumpAlign+1<<20 {
						written = true
						return late(o)
					}
					return nil
				}
			}
			s.faults["/dev/disk"] = &tt.fault
			res, err := runRaw(s, false)
			if !errors.Is(err, tt.want) || res.Outcome != tt.outcome {
				t.Errorf("Run = %+v, %v; want %s, %v", res, err, tt.outcome, tt.want)
			}
			names, contents, err := untar(bytes.NewReader(mustRead(t, s.path("/dev/disk"))))
			if got := strings.Join(names, " "); err != nil || got != tt.entries {
				t.Fatalf("tar holds %q, %v; want %q", got, err, tt.entries)
			}
			if tt.entries == "" {
				return
			}
			if r := readResult(t, contents[ResultName]); r.Outcome != tt.outcome || r.VMCore.SavedBytes != int64(len(contents[IncompleteName])) {
				t.Errorf("stored result = %+v", r)
			}
			if got := contents[IncompleteName]; !bytes.Equal(got, vmcore[:len(got)]) {
				t.Error("what is saved differs from the source")
			}
		})
	}
}

// TestRawRefuses: what a device holds is not lost without overwrite.
func TestRawRefuses(t *testing.T) {
	put := func(offset int, magic string) func([]byte) {
		return func(b []byte) {
			if offset < 0 {
				offset += len(b)
			}
			copy(b[offset:], magic)
		}
	}
	earlier := func(name string, mode int64) func([]byte) {
		return func(b []byte) {
			var buf bytes.Buffer
			tw := tar.NewWriter(&buf)
			_ = tw.WriteHeader(&tar.Header{Name: name, Size: 3, Mode: mode, Format: tar.FormatGNU, Typeflag: tar.TypeReg})
			_, _ = tw.Write([]byte("abc"))
			copy(b, buf.Bytes())
		}
	}
	tests := []struct {
		name    string
		content []func([]byte)
		holds   string // "" when it may be overwritten
	}{
		{"blank", nil, ""},
		{"swap", []func([]byte){put(4086, "SWAPSPACE2")}, ""},
		{"swap of 64 KiB pages", []func([]byte){put(65526, "SWAPSPACE2")}, ""},
		{"earlier dump", []func([]byte){earlier("dmesg.txt", 0o600)}, ""},
		{"hibernated", []func([]byte){put(4086, "S1SUSPEND")}, "swsuspend"},
		{"ext", []func([]byte){put(0x438, "\x53\xef")}, "ext2"},
		{"GPT", []func([]byte){put(512, "EFI PART")}, "gpt"},
		{"GPT at the end only", []func([]byte){put(-512, "EFI PART")}, "gpt"},
		{"MBR", []func([]byte){put(510, "\x55\xaa"), put(450, "\x83")}, "dos"},
		{"somebody's tar", []func([]byte){earlier("dmesg.txt", 0o644)}, "unknown data at offset 0x0"},
		{"another tar", []func([]byte){earlier("home/me", 0o600)}, "unknown data at offset 0x0"},
		{"unknown", []func([]byte){put(1<<20-1, "x")}, "unknown data at offset 0xfffff"},
		{"unknown data later on", []func([]byte){put(4<<20+5, "x")}, "unknown data at offset 0x400005"},
		{"unknown at the end", []func([]byte){put(-1, "x")}, "unknown data at offset 0x7fffff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(testVMCore(t)))
			s.device(t, "disk", 8<<20, tt.content...)
			before := mustRead(t, s.path("/dev/disk"))
			_, err := runRaw(s, false)
			if tt.holds == "" {
				if err != nil {
					t.Errorf("Run: %v; want it overwritten", err)
				}
				return
			}
			if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "it holds "+tt.holds) {
				t.Errorf("Run: %v; want ErrInUse, it holds %s", err, tt.holds)
			}
			if !bytes.Equal(mustRead(t, s.path("/dev/disk")), before) {
				t.Fatal("the device was changed")
			}
			if _, err := runRaw(s, true); err != nil {
				t.Errorf("Run with overwrite: %v", err)
			}
		})
	}
}

// TestRawPowerLoss: after every single write the device holds a well-formed
// stream of one dump: never a mixture with the dump that it held before, and
// "vmcore" only when it is whole.
func TestRawPowerLoss(t *testing.T) {
	s := newFakeSystem(t)
	s.device(t, "disk", 6<<20)
	older := testVMCore(t)
	for i := range older[1<<20 : 3<<20] {
		older[1<<20+i] ^= 0x80
	}
	s.file(t, VMCorePath, string(older))
	if _, err := runRaw(s, false); err != nil {
		t.Fatal(err)
	}
	image := mustRead(t, s.path("/dev/disk"))
	_, old, _ := untar(bytes.NewReader(image))

	vmcore := testVMCore(t)
	s.file(t, VMCorePath, string(vmcore))
	steps := 0
	s.faults["/dev/disk"] = &fault{record: func(offset int64, b []byte) {
		copy(image[offset:], b)
		steps++
		names, contents, err := untar(bytes.NewReader(image))
		if err != nil {
			t.Errorf("step %d: %q, %v", steps, names, err)
		}
		if got, ok := contents[VMCoreName]; ok && !bytes.Equal(got, vmcore) {
			t.Errorf("step %d: vmcore isn't the new one, whole", steps)
		}
		if got, ok := contents[LogName]; ok && !bytes.Equal(got, old[LogName]) {
			t.Errorf("step %d: log = %q", steps, got)
		}
		if slices.Contains(names, ResultName) && !slices.Equal(names, []string{LogName, VMCoreName, ResultName}) {
			t.Errorf("step %d: %q", steps, names)
		}
	}}
	if _, err := runRaw(s, false); err != nil {
		t.Fatal(err)
	}
	if steps < 10 {
		t.Errorf("only %d writes seen", steps)
	}
}

// TestTarHeader: a header of any size is one block, and archive/tar reads it.
func TestTarHeader(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	for _, size := range []int64{0, 1, 8<<30 - 1, 8 << 30, 1 << 40, 1<<62 + 1} {
		var blocks [2][]byte
		for i, name := range []string{IncompleteName, VMCoreName} {
			b, err := tarHeader(name, size, now)
			if err != nil {
				t.Fatalf("tarHeader(%d): %v", size, err)
			}
			h, err := tar.NewReader(bytes.NewReader(b)).Next()
			if err != nil || h.Size != size || h.Name != name || h.Mode != 0o600 || len(b) != tarBlock {
				t.Errorf("tarHeader(%d) = %+v, %v", size, h, err)
			}
			if !isDump(t, b) {
				t.Errorf("isDump(tarHeader(%q, %d)) = false", name, size)
			}
			blocks[i] = b
		}
		if bytes.Equal(blocks[0], blocks[1]) {
			t.Error("the two headers are the same")
		}
	}
}

// Any entry may be the first, where those before it could not be saved: the next capture has to know that it is a dump.
func TestFirstEntryIsOfADump(t *testing.T) {
	for _, name := range []string{LogName, ReportName, ReportJSONName, IncompleteName, VMCoreName, ResultName} {
		b, err := tarHeader(name, 1, time.Now())
		if err != nil || !isDump(t, b) {
			t.Errorf("a device that begins with %s holds no dump, %v", name, err)
		}
	}
}

func TestOpenRaw(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenRaw(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenRaw(missing): %v", err)
	}
	name := dir + "/core"
	core := testVMCore(t)
	if err := os.WriteFile(name, core, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := OpenRaw(name)
	if err != nil || d.Size() != int64(len(core)) || d.Name != "" || d.Offset != 0 {
		t.Fatalf("OpenRaw(ELF) = %+v, %v", d, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRaw(name); !errors.Is(err, ErrNoDump) {
		t.Errorf("OpenRaw(text): %v; want ErrNoDump", err)
	}
}

// isDump reports whether a device that begins so is known to hold a dump.
func isDump(t *testing.T, head []byte) bool {
	t.Helper()
	c, err := blkid.Probe(bytes.NewReader(head), int64(len(head)))
	if err != nil {
		t.Fatal(err)
	}
	return c.Verdict().Kind == blkid.Dump
}

// TestTarComment: whatever the gap, the comment fills it, and tar sees none of it.
func TestTarComment(t *testing.T) {
	for size := int64(tarBlock); size <= 2*dumpAlign; size += tarBlock {
		b, err := tarComment(size)
		if err != nil {
			t.Errorf("tarComment(%d): %v", size, err)
			continue
		}
		if int64(len(b)) != tarBlock+size || !isDump(t, b) {
			t.Errorf("tarComment(%d) has %d bytes, isDump %t", size, len(b), isDump(t, b))
		}
		h, err := tarHeader(VMCoreName, 0, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		stream := append(append(b, h...), make([]byte, 2*tarBlock)...)
		if names, _, err := untar(bytes.NewReader(stream)); err != nil || len(names) != 1 || names[0] != VMCoreName {
			t.Errorf("behind a comment of %d bytes tar sees %q, %v", size, names, err)
		}
	}
}
