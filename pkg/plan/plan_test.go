package plan

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kexec"
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
	if want := kexec.FileOnCrash; p.Flags != want {
		t.Errorf("Flags = %v; want %v", p.Flags, want)
	}
	if !strings.HasPrefix(p.Cmdline, "root=/dev/vda1 ro quiet console=ttyS0 nr_cpus=1 ") || strings.Contains(p.Cmdline, "crashkernel") {
		t.Errorf("Cmdline = %q", p.Cmdline)
	}
	p, _, err = planOn(t, m, &Spec{Kind: machine.Boot, Kernel: spec.Kernel, Cmdline: "a  b", CmdlineExact: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.Flags != kexec.FileNoInitramfs || p.Cmdline != "a  b" {
		t.Errorf("boot plan = flags %v, cmdline %q; want NO_INITRAMFS, the text to the letter", p.Flags, p.Cmdline)
	}
}

// Wrapped kernels are unpacked in memory; what the kernel reads itself is not.
func TestPlanUnpacks(t *testing.T) {
	kernel := imagetest.SmallBzImage().Bytes()
	m := kexectest.NewMachine(t)
	for _, codec := range imagetest.Codecs {
		packed := imagetest.Compress(t, codec, kernel)
		p, findings, err := planOn(t, m, &Spec{Kind: machine.Crash, Kernel: FromBytes(codec, packed)})
		if err != nil {
			t.Errorf("New(%s) error = %v", codec, err)
			continue
		}
		if err := advice.FirstFailure(findings); err != nil {
			t.Errorf("%s: Check: %v", codec, err)
		}
		checkPayload(t, p.Kernel, p.Spec.Kernel, kernel)
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
	checkPayload(t, p.Kernel, p.Spec.Kernel, kernel)
	checkPayload(t, p.Initrd, p.Spec.Kernel, []byte("their initrd"))
	if p.Cmdline != "root=theirs" {
		t.Errorf("Cmdline = %q; want the UKI's", p.Cmdline)
	}
	p, _, err = planOn(t, m, &Spec{Kind: machine.Boot, Kernel: FromBytes("uki", uki), Initrd: FromBytes("ours", []byte("our initrd")), Cmdline: "root=ours"})
	if err != nil {
		t.Fatal(err)
	}
	checkPayload(t, p.Initrd, p.Spec.Initrd, []byte("our initrd"))
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

// checkPayload reads what the kernel would; source is what the payload was planned of.
func checkPayload(t *testing.T, p *Payload, source *Source, want []byte) {
	t.Helper()
	in, err := Open(&Spec{Kernel: source})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got, err := io.ReadAll(p.Reader(in.Kernel))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: the kernel would read %d bytes, %v; want %d", p.Path, len(got), err, len(want))
	}
}

// A Plan and its Spec are data: whatever can be reached from them holds no file, reader or function.
func TestPlanIsData(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) *Source {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return FromFile(filepath.Join(dir, name))
	}
	packed := imagetest.Compress(t, "gzip", imagetest.SmallBzImage().Bytes())
	uki := imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: imagetest.SmallBzImage().Bytes()}, imagetest.Section{Name: ".initrd", Data: []byte("initrd")})
	for name, kernel := range map[string][]byte{"vmlinuz": imagetest.SmallBzImage().Bytes(), "vmlinux": imagetest.SmallVmlinux(), "vmlinuz.gz": packed, "uki": uki} {
		for _, method := range []Method{File, Segments} {
			p, err := New(kexectest.NewMachine(t).Host("x86_64"), &Spec{Kind: machine.Crash, Method: method, Kernel: write(name, kernel), Initrd: write("initrd", []byte("initrd"))})
			if err != nil {
				t.Fatal(err)
			}
			if p.Kernel.ID.Path != filepath.Join(dir, name) || p.Spec.Kernel.ID != p.Kernel.ID {
				t.Errorf("%s by %v: the plan is of %+v; want %s", name, method, p.Kernel.ID, name)
			}
			if _, err := p.Image.Bytes(); err == nil {
				t.Errorf("%s by %v: the plan can read the image", name, method)
			}
			wantData(t, name+" by "+method.String(), reflect.ValueOf(p), map[any]bool{})
		}
	}
}

func wantData(t *testing.T, where string, v reflect.Value, seen map[any]bool) {
	t.Helper()
	switch v.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		if !v.IsNil() {
			t.Errorf("%s is a %v", where, v.Type())
		}
	case reflect.Interface:
		if !v.IsNil() && v.Elem().Type().Size() > 0 { // a byte order has none
			t.Errorf("%s holds a %v", where, v.Elem().Type())
		}
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		if v.Type() == reflect.TypeFor[*os.File]() {
			t.Errorf("%s is a file", where)
			return
		}
		wantData(t, where, v.Elem(), seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() {
				wantData(t, where+"."+v.Type().Field(i).Name, v.Field(i), seen)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			wantData(t, where+"[]", v.Index(i), seen)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			wantData(t, where+"[]", v.MapIndex(key), seen)
		}
	}
}

// sparse is a file of that size that takes no room on the disk.
func sparse(t *testing.T, size int64) *Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "initrd")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	return FromFile(path)
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
		{"large initrd", Spec{Kernel: FromBytes("k", good.Bytes()), Initrd: sparse(t, 100<<20)}, unix.EADDRNOTAVAIL, "do not fit"},
		{"large kernel", Spec{Kernel: FromBytes("k", with(func(z *imagetest.BzImage) { z.InitSize = 200 << 20 }))}, unix.EADDRNOTAVAIL, "enlarge crashkernel="},
		{"boot: over half of memory", Spec{Kind: machine.Boot, Kernel: FromBytes("k", good.Bytes()), Initrd: sparse(t, 500<<20)}, unix.EINVAL, "half"},
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
		if _, err := Open(&Spec{Kernel: FromFile(tt.path)}); !errors.Is(err, tt.want) {
			t.Errorf("Open(%s) error = %v; want %v", tt.path, err, tt.want)
		}
	}
}
