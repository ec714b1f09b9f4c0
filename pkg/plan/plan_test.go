package plan

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/machine"
)

func planOn(t *testing.T, m *kexectest.Machine, spec *Spec) (*Plan, []advice.Finding, error) {
	t.Helper()
	host := m.Host("x86_64")
	p, err := New(host, spec)
	if err != nil {
		return nil, nil, err
	}
	return p, p.Check(host), nil
}

func TestNewFilePlan(t *testing.T) {
	m := kexectest.NewMachine(t)
	spec := &Spec{Kind: machine.Crash, Kernel: FromBytes("vmlinuz", imagetest.SmallBzImage().Bytes()), Initrd: FromBytes("initrd", []byte("initrd")), ReuseCmdline: true, Append: "console=ttyS0"}
	p, findings, err := planOn(t, m, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := advice.FirstFailure(findings); err != nil {
		t.Errorf("Check: %v", err)
	}
	if want := FileOnCrash; p.Flags != want {
		t.Errorf("Flags = %v; want %v", p.Flags, want)
	}
	if !strings.HasPrefix(p.Cmdline, "root=/dev/vda1 ro quiet console=ttyS0 nr_cpus=1 ") || strings.Contains(p.Cmdline, "crashkernel") {
		t.Errorf("Cmdline = %q", p.Cmdline)
	}
	p, _, err = planOn(t, m, &Spec{Kind: machine.Boot, Kernel: spec.Kernel, Cmdline: "a  b", CmdlineExact: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.Flags != FileNoInitramfs || p.Cmdline != "a  b" {
		t.Errorf("boot plan = flags %v, cmdline %q; want NO_INITRAMFS, the text to the letter", p.Flags, p.Cmdline)
	}
}

// Wrapped kernels are unpacked in memory; what the kernel reads itself is not.
func TestPlanUnpacks(t *testing.T) {
	kernel := imagetest.SmallBzImage().Bytes()
	m := kexectest.NewMachine(t)
	for _, codec := range imagetest.Codecs {
		packed, err := imagetest.Compress(codec, kernel)
		if err != nil {
			t.Fatal(err)
		}
		p, findings, err := planOn(t, m, &Spec{Kind: machine.Crash, Kernel: FromBytes(codec, packed)})
		if err != nil {
			t.Errorf("New(%s) error = %v", codec, err)
			continue
		}
		if err := advice.FirstFailure(findings); err != nil {
			t.Errorf("%s: Check: %v", codec, err)
		}
		checkPayload(t, p.Kernel, kernel)
		if len(p.Kernel.Unwrap) != 1 {
			t.Errorf("%s: Unwrap = %v; want one step", codec, p.Kernel.Unwrap)
		}
	}
}

func TestPlanUKI(t *testing.T) {
	kernel := imagetest.SmallBzImage().Bytes()
	uki := imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: kernel},
		imagetest.Section{Name: ".initrd", Data: []byte("their initrd")}, imagetest.Section{Name: ".cmdline", Data: []byte("root=theirs\x00")})
	m := kexectest.NewMachine(t)
	p, _, err := planOn(t, m, &Spec{Kind: machine.Boot, Kernel: FromBytes("uki", uki)})
	if err != nil {
		t.Fatal(err)
	}
	checkPayload(t, p.Kernel, kernel)
	checkPayload(t, p.Initrd, []byte("their initrd"))
	if p.Cmdline != "root=theirs" {
		t.Errorf("Cmdline = %q; want the UKI's", p.Cmdline)
	}
	p, _, err = planOn(t, m, &Spec{Kind: machine.Boot, Kernel: FromBytes("uki", uki), Initrd: FromBytes("ours", []byte("our initrd")), Cmdline: "root=ours"})
	if err != nil {
		t.Fatal(err)
	}
	checkPayload(t, p.Initrd, []byte("our initrd"))
	if p.Cmdline != "root=ours" {
		t.Errorf("Cmdline = %q; want the one given", p.Cmdline)
	}
	// As a crash kernel it is loaded without what would end a capture; what is given
	// with options is taken as it is.
	uki = imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: kernel},
		imagetest.Section{Name: ".cmdline", Data: []byte("root=theirs maxcpus=2 crashkernel=1G hugepages=9 sysctl.kernel.hung_task_panic=1 panic=1\x00")})
	p, _, err = planOn(t, m, &Spec{Kind: machine.Crash, Kernel: FromBytes("uki", uki), Append: "softlockup_panic=1"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Cmdline, "root=theirs maxcpus=2 panic=1 softlockup_panic=1 ") || len(p.Changes) < 3 || p.Changes[0].Text != "crashkernel=1G" {
		t.Errorf("Cmdline = %q, changes %v; want it without what ends a capture", p.Cmdline, p.Changes)
	}
	p, _, err = planOn(t, m, &Spec{Kind: machine.Crash, Kernel: FromBytes("uki", uki), CmdlineExact: true})
	if err != nil || !strings.Contains(p.Cmdline, "hugepages=9") {
		t.Errorf("exact: %+v, %v; want the UKI's as it is", p, err)
	}
}

// checkPayload reads what the kernel would, through the handle it would get.
func checkPayload(t *testing.T, p *Payload, want []byte) {
	t.Helper()
	f, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if mode, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || mode&unix.O_ACCMODE != unix.O_RDONLY {
		t.Errorf("%s: the handle is not read-only (%#x, %v): the kernel says ETXTBSY", p.Path, mode, err)
	}
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: the kernel would read %d bytes, %v; want %d", p.Path, len(got), err, len(want))
	}
}

// The user's own file goes to the kernel, so that its attributes count, and
// stays usable after the call.
func TestPayloadKeepsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(path, imagetest.SmallBzImage().Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	p, _, err := planOn(t, kexectest.NewMachine(t), &Spec{Kind: machine.Crash, Kernel: src})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := p.Kernel.Open()
		if err != nil {
			t.Fatal(err)
		}
		a, _ := f.Stat()
		b, _ := os.Stat(path)
		if !os.SameFile(a, b) {
			t.Error("the kernel gets a copy; want the file itself")
		}
		f.Close()
	}
}

func TestPlanRefuses(t *testing.T) {
	good := imagetest.SmallBzImage()
	with := func(change func(*imagetest.BzImage)) []byte {
		z := good
		change(&z)
		return z.Bytes()
	}
	tests := []struct {
		name    string
		spec    Spec
		wantErr error  // of New or of the first failed check
		message string // part of message or hint
	}{
		{"text", Spec{Kernel: FromBytes("k", []byte("#!/bin/sh\necho hello\n"))}, bootimage.ErrNotKernel, "script"},
		{"truncated", Spec{Kernel: FromBytes("k", good.Bytes()[:4096])}, bootimage.ErrTruncated, "cut short"},
		{"arm64 image", Spec{Kernel: FromBytes("k", imagetest.GoodARM64().Bytes())}, unix.ENOEXEC, "is for aarch64, this machine is x86_64"},
		{"not relocatable", Spec{Kernel: FromBytes("k", with(func(z *imagetest.BzImage) { z.Relocatable = false }))}, unix.ENOEXEC, "CONFIG_RELOCATABLE"},
		{"32-bit", Spec{Kernel: FromBytes("k", with(func(z *imagetest.BzImage) { z.XLoadFlags = 0 }))}, unix.ENOEXEC, "x86_64"},
		{"NUL in the command line", Spec{Kernel: FromBytes("k", good.Bytes()), Cmdline: "a\x00b"}, cmdline.ErrBad, "NUL"},
		{"open quote", Spec{Kernel: FromBytes("k", good.Bytes()), Append: `a="b`}, cmdline.ErrBad, "not closed"},
		{"long command line", Spec{Kernel: FromBytes("k", good.Bytes()), Cmdline: strings.Repeat("x", 2048)}, cmdline.ErrBad, "too long"},
		{"large initrd", Spec{Kernel: FromBytes("k", good.Bytes()), Initrd: &Source{Path: "initrd", Size: 100 << 20}}, unix.EADDRNOTAVAIL, "do not fit"},
		{"large kernel", Spec{Kernel: FromBytes("k", with(func(z *imagetest.BzImage) { z.InitSize = 200 << 20 }))}, unix.EADDRNOTAVAIL, "enlarge crashkernel="},
		{"boot: over half of memory", Spec{Kind: machine.Boot, Kernel: FromBytes("k", good.Bytes()), Initrd: &Source{Path: "initrd", Size: 500 << 20}}, unix.EINVAL, "half"},
	}
	for _, tt := range tests {
		_, findings, err := planOn(t, kexectest.NewMachine(t), &tt.spec)
		if err == nil {
			err = advice.FirstFailure(findings)
		}
		if !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: error = %v; want %v", tt.name, err, tt.wantErr)
			continue
		}
		if text := err.Error() + " " + advice.Hint(err); !strings.Contains(text, tt.message) || strings.Contains(text, "\n") {
			t.Errorf("%s: message and hint = %q; want %q in one line", tt.name, text, tt.message)
		}
	}
}

// The longest command line that passes is the longest the kernel would take.
func TestCmdlineLimit(t *testing.T) {
	host := kexectest.NewMachine(t).Host("x86_64")
	for length := 2010; length <= 2030; length++ {
		p, err := New(host, &Spec{Kind: machine.Crash, Kernel: FromBytes("k", imagetest.SmallBzImage().Bytes()), Cmdline: strings.Repeat("x", length), CmdlineExact: true})
		if err != nil {
			t.Fatal(err)
		}
		// arch/x86/kernel/kexec-bzimage64.c: cmdline_len + MAX_ELFCOREHDR_STR_LEN > cmdline_size
		if got, want := advice.FirstFailure(p.Check(host)) == nil, length+1+30 <= 2047; got != want {
			t.Errorf("command line of %d bytes passes = %t; want %t", length, got, want)
		}
	}
}

func TestOpenSource(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	fifo := filepath.Join(dir, "fifo")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		want error
	}{{filepath.Join(dir, "none"), os.ErrNotExist}, {empty, ErrEmpty}, {fifo, ErrNotRegular}, {dir, ErrNotRegular}, {"/dev/null", ErrNotRegular}}
	for _, tt := range tests {
		if s, err := Open(tt.path); !errors.Is(err, tt.want) {
			s.Close()
			t.Errorf("Open(%s) error = %v; want %v", tt.path, err, tt.want)
		}
	}
}
