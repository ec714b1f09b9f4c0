package bootimage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// openBzImage opens an image that must be good.
func openBzImage(t *testing.T, z imagetest.BzImage) *BzImage {
	t.Helper()
	img, err := openBytes(z.Bytes())
	if err != nil {
		t.Fatalf("Open = %v; want no error", err)
	}
	return img.BzImage
}

func TestBzImageHeader(t *testing.T) {
	z := imagetest.GoodBzImage()
	z.Trailer = []byte("signature")
	got := openBzImage(t, z)
	if got.Protocol() != "2.15" || got.SetupSize() != 8*512 || got.KernelSize() != 64<<10 {
		t.Errorf("protocol %s, setup %d, kernel %d; want 2.15, 4096, 65536", got.Protocol(), got.SetupSize(), got.KernelSize())
	}
	if got.InitSize != z.InitSize || got.PrefAddress != z.PrefAddress || got.KernelAlignment != z.KernelAlignment ||
		got.CmdlineSize != z.CmdlineSize || got.HandoverOffset != z.HandoverOffset || got.PayloadOffset != z.PayloadOffset ||
		got.PayloadLength != z.PayloadLength || got.InitrdAddrMax != z.InitrdAddrMax || got.MinAlignment != z.MinAlignment ||
		got.KernelVersion != z.Version || !got.Relocatable {
		t.Errorf("header = %+v; want the values of %+v", got, z)
	}
	kernel, err := io.ReadAll(got.Kernel())
	if err != nil || !bytes.Equal(kernel, z.Kernel) {
		t.Errorf("Kernel() gives %d bytes, %v; want the %d bytes of the kernel, without the signature", len(kernel), err, len(z.Kernel))
	}
	info, err := got.KernelInfo()
	if err != nil || info == nil || *info != (KernelInfo{16, 16, 1<<31 | 9}) {
		t.Errorf("KernelInfo() = %+v, %v; want {16 16 0x80000009}", info, err)
	}
	if h := got.SetupHeader(); len(h) != 0x26c-0x1f1 || string(h[0x202-0x1f1:][:4]) != "HdrS" {
		t.Errorf("SetupHeader() = %d bytes % x; want 123 with HdrS at 0x11", len(h), h)
	}
}

func TestBzImageOldProtocols(t *testing.T) {
	z := imagetest.GoodBzImage()
	z.SetupSects, z.Protocol = 0, 0x203
	z.Kernel = append(z.Kernel[:0:0], z.Kernel...)
	file := z.Bytes()
	file[0x1f6] = 0xff // before 2.04 syssize has two bytes, and this is not its third
	img, err := openBytes(file)
	if err != nil {
		t.Fatalf("Open = %v; want no error", err)
	}
	got := img.BzImage
	if got.SetupSize() != 5*512 {
		t.Errorf("SetupSize() with setup_sects 0 = %d; want 2560", got.SetupSize())
	}
	if got.KernelSize() != 64<<10 {
		t.Errorf("KernelSize() = %d; want 65536", got.KernelSize())
	}
	for name, want := range map[string]bool{"initrd_addr_max": true, "kernel_alignment": false, "init_size": false, "no_such_field": false} {
		if _, ok := got.Field(name); ok != want {
			t.Errorf("Field(%q) ok = %v; want %v", name, ok, want)
		}
	}
	if err := got.CheckKexec64(true); !errors.Is(err, ErrOldProtocol) {
		t.Errorf("CheckKexec64 = %v; want ErrOldProtocol", err)
	}
	if _, err := got.VMLinux(); err == nil {
		t.Errorf("VMLinux() = no error; want one, protocol 2.03 has no payload")
	}
}

func TestBzImageChecks(t *testing.T) {
	tests := []struct {
		name      string
		change    func(*imagetest.BzImage)
		fiveLevel bool
		want      []error
	}{
		{"good", func(*imagetest.BzImage) {}, true, nil},
		{"zImage", func(z *imagetest.BzImage) { z.LoadFlags = 0 }, true, []error{ErrNotLoadedHigh}},
		{"32 bits", func(z *imagetest.BzImage) { z.XLoadFlags &^= 1 }, true, []error{ErrNot64Bit}},
		{"below 4G", func(z *imagetest.BzImage) { z.XLoadFlags &^= 2 }, true, []error{ErrBelow4G}},
		{"not relocatable", func(z *imagetest.BzImage) { z.Relocatable = false }, true, []error{ErrNotRelocatable}},
		{"no la57", func(z *imagetest.BzImage) { z.XLoadFlags &^= 0x20 }, true, []error{ErrNo5Level}},
		{"no la57, none needed", func(z *imagetest.BzImage) { z.XLoadFlags &^= 0x20 }, false, nil},
		{"several", func(z *imagetest.BzImage) { z.XLoadFlags, z.Relocatable = 0, false }, true, []error{ErrNot64Bit, ErrBelow4G, ErrNotRelocatable, ErrNo5Level}},
		{"2.11", func(z *imagetest.BzImage) { z.Protocol = 0x20b }, true, []error{ErrOldProtocol}},
	}
	all := []error{ErrOldProtocol, ErrNotLoadedHigh, ErrNot64Bit, ErrBelow4G, ErrNotRelocatable, ErrNo5Level}
	for _, tt := range tests {
		z := imagetest.GoodBzImage()
		tt.change(&z)
		err := openBzImage(t, z).CheckKexec64(tt.fiveLevel)
		for _, sentinel := range all {
			want := false
			for _, w := range tt.want {
				want = want || w == sentinel
			}
			if errors.Is(err, sentinel) != want {
				t.Errorf("%s: CheckKexec64(%v) = %v; wraps %q = %v, want %v", tt.name, tt.fiveLevel, err, sentinel, !want, want)
			}
		}
	}
}

func TestBzImageBadHeader(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*imagetest.BzImage)
		patch   map[int]byte
		message string
	}{
		{"no kernel", func(z *imagetest.BzImage) { z.Kernel = nil }, nil, "syssize is 0"},
		{"payload outside", func(z *imagetest.BzImage) { z.PayloadLength = 0x10000 }, nil, "payload [0x400..0x10400) ends outside the kernel of 0x10000 bytes"},
		{"payload overflows", func(z *imagetest.BzImage) { z.PayloadOffset, z.PayloadLength = 0xffffffff, 0xffffffff }, nil, "ends outside the kernel"},
		{"alignment", func(z *imagetest.BzImage) { z.KernelAlignment = 3 << 20 }, nil, "kernel_alignment 0x300000 is not a power of two"},
		{"min_alignment", func(z *imagetest.BzImage) { z.MinAlignment = 64 }, nil, "min_alignment 64"},
		{"version pointer", nil, map[int]byte{0x20e: 0xff, 0x20f: 0xff}, "kernel_version points to 0x101ff, outside the setup code of 0x1000 bytes"},
		{"header ends early", nil, map[int]byte{0x201: 0x00}, "setup_header ends at 0x202 (byte 0x201 is 0x0)"},
		{"protocol 1", func(z *imagetest.BzImage) { z.Protocol = 0x101 }, nil, "boot protocol 1.01 is older than 2.00"},
	}
	for _, tt := range tests {
		z := imagetest.GoodBzImage()
		if tt.change != nil {
			tt.change(&z)
		}
		file := z.Bytes()
		for off, b := range tt.patch {
			file[off] = b
		}
		if _, err := openBytes(file); err == nil || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: Open = %v; want an error with %q", tt.name, err, tt.message)
		}
	}
}

func TestKernelInfoBad(t *testing.T) {
	for name, change := range map[string]func(*imagetest.BzImage){
		"outside":  func(z *imagetest.BzImage) { z.KernelInfo = 0xfffffff0 },
		"no magic": func(z *imagetest.BzImage) { z.KernelInfo = 0x300 },
		"too long": func(z *imagetest.BzImage) { z.Kernel[0x20a] = 0xff },
	} {
		z := imagetest.GoodBzImage()
		change(&z)
		if info, err := openBzImage(t, z).KernelInfo(); err == nil {
			t.Errorf("%s: KernelInfo() = %+v; want an error", name, info)
		}
	}
	z := imagetest.GoodBzImage()
	z.KernelInfo = 0
	if info, err := openBzImage(t, z).KernelInfo(); info != nil || err != nil {
		t.Errorf("none: KernelInfo() = %+v, %v; want nil, nil", info, err)
	}
}

// TestSetupFields holds the table against itself: the struct is packed, so
// there are no holes.
func TestSetupFields(t *testing.T) {
	next := setupHeaderStart
	for _, f := range SetupFields {
		if f.Offset != next {
			t.Errorf("%s is at %#x; want %#x, behind the field before it", f.Name, f.Offset, next)
		}
		next = f.Offset + f.Size
	}
	if next != 0x26c {
		t.Errorf("the table ends at %#x; want 0x26c", next)
	}
}

// TestSetupFieldsOfKernel holds the table against the kernel's own header,
// where one is installed.
func TestSetupFieldsOfKernel(t *testing.T) {
	sizes := map[string]int{"__u8": 1, "__u16": 2, "__u32": 4, "__u64": 8}
	var text []byte
	var err error
	for _, path := range []string{"/usr/include/asm/bootparam.h", "/usr/include/x86_64-linux-gnu/asm/bootparam.h"} {
		if text, err = os.ReadFile(path); err == nil {
			break
		}
	}
	if err != nil {
		t.Skip("no asm/bootparam.h: ", err)
	}
	_, body, ok := strings.Cut(string(text), "struct setup_header {")
	if !ok {
		t.Skip("asm/bootparam.h has no struct setup_header")
	}
	body, _, _ = strings.Cut(body, "}")
	offset, i := setupHeaderStart, 0
	for _, m := range regexp.MustCompile(`(?m)^\s*(__u\d+)\s+(\w+);`).FindAllStringSubmatch(body, -1) {
		if i == len(SetupFields) {
			t.Fatalf("the kernel has a field %s at %#x; the table ends before", m[2], offset)
		}
		f := SetupFields[i]
		name := m[2]
		if f.Name != name || f.Offset != offset || f.Size != sizes[m[1]] {
			t.Errorf("field %d = %s at %#x of %d; the kernel has %s at %#x of %d", i, f.Name, f.Offset, f.Size, name, offset, sizes[m[1]])
		}
		offset += sizes[m[1]]
		i++
	}
	if i != len(SetupFields) {
		t.Errorf("the kernel has %d fields; the table has %d", i, len(SetupFields))
	}
}
