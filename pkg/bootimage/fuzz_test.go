package bootimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

const fuzzLimit = 1 << 20

// checkImage holds what Open returned against the promises of its
// documentation.
func checkImage(t *testing.T, img *Image) {
	t.Helper()
	b, err := img.Bytes()
	if err != nil || int64(len(b)) != img.Size() {
		t.Fatalf("Bytes() = %d bytes, %v; want %d", len(b), err, img.Size())
	}
	if len(img.Wrapping) > MaxWrappings {
		t.Fatalf("Wrapping = %q; at most %d are unwrapped", img.Wrapping, MaxWrappings)
	}
	again, err := OpenWithin(bytes.NewReader(b), int64(len(b)), fuzzLimit)
	if err != nil || !again.Unwrapped() || again.Format != img.Format || again.Machine != img.Machine || again.MemSize != img.MemSize {
		t.Fatalf("Open(Bytes()) = %v, %v; want %v unwrapped", again, err, img)
	}
	if z := img.BzImage; z != nil {
		if z.SetupSize()+z.KernelSize() > img.Size() || int64(z.PayloadOffset)+int64(z.PayloadLength) > z.KernelSize() {
			t.Fatalf("header %+v points outside a file of %d bytes", z, img.Size())
		}
		kernel, err := io.ReadAll(z.Kernel())
		if err != nil || int64(len(kernel)) != z.KernelSize() {
			t.Fatalf("Kernel() gives %d bytes, %v; want %d", len(kernel), err, z.KernelSize())
		}
		_, _ = z.KernelInfo()
		_ = z.CheckKexec64(true)
	}
	if img.UKI != nil {
		initrd, err := img.Initrd()
		if err != nil || int64(len(initrd)) != img.InitrdSize() {
			t.Fatalf("Initrd() = %d bytes, %v; want %d", len(initrd), err, img.InitrdSize())
		}
	}
	_, _ = img.Release()
}

// FuzzOpen: whatever the bytes are, an image that is taken keeps its promises,
// and an error is one of the known kinds or speaks of a header.
func FuzzOpen(f *testing.F) {
	arm64 := imagetest.GoodARM64()
	arm64.Body = arm64.Body[:600]
	bz := imagetest.GoodBzImage()
	bz.Kernel = bz.Kernel[:0x600]
	bz.PayloadLength = 0x100
	seeds := [][]byte{
		bz.Bytes(), arm64.Bytes(), imagetest.LoongArch(1, nil), imagetest.ARMzImage(binary.LittleEndian, nil),
		imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian).Bytes(),
		imagetest.UImage(arm64.Bytes(), 2, 0),
		imagetest.PE(0x8664, section(".ucode", "x"), section(".linux", string(bz.Bytes())), section(".initrd", "y"), section(".cmdline", "z")),
		[]byte("#!/bin/sh\n"), {},
	}
	riscv := imagetest.GoodRISCV()
	riscv.Body = riscv.Body[:100]
	seeds = append(seeds, riscv.Bytes())
	for _, codec := range imagetest.Codecs {
		seeds = append(seeds, imagetest.Compress(f, codec, arm64.Bytes()), imagetest.Zboot(imagetest.Compress(f, codec, arm64.Bytes()), codec, 1))
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		img, err := OpenWithin(bytes.NewReader(file), int64(len(file)), fuzzLimit)
		if err == nil {
			checkImage(t, img)
			return
		}
		if img != nil {
			t.Fatalf("Open = %v and an error: %v", img, err)
		}
		// A file of a claimed size beyond its end is an error too.
		if _, err := OpenWithin(bytes.NewReader(file), int64(len(file))+1<<30, fuzzLimit); err == nil && len(file) == 0 {
			t.Fatal("Open of no bytes and a size = no error")
		}
	})
}

// FuzzWrap: wrappings in any order around any kernel come off again.
func FuzzWrap(f *testing.F) {
	for i := range uint16(64) {
		f.Add([]byte("the body of a kernel"), i*37, uint8(i))
	}
	names := append([]string{"uki", "zboot", "uimage"}, imagetest.Codecs...)
	f.Fuzz(func(t *testing.T, body []byte, order uint16, depth uint8) {
		a := imagetest.GoodARM64()
		a.Body = body
		kernel := a.Bytes()
		file, uki := kernel, false
		for n := int(depth % 6); n > 0; n-- {
			name := names[int(order)%len(names)]
			order /= uint16(len(names))
			switch {
			case name == "uki" && uki:
				n = 1 // a second one is an error of its own
			case name == "uki":
				file, uki = imagetest.PE(0xaa64, imagetest.Section{Name: ".linux", Data: file}), true
			case name == "zboot":
				file = imagetest.Zboot(imagetest.Compress(t, "zstd", file), "zstd22", uint32(len(file)))
			case name == "uimage":
				file = imagetest.UImage(file, 2, 0)
			default:
				file = imagetest.Compress(t, name, file)
			}
		}
		img, err := openBytes(file)
		if err != nil {
			if errors.Is(err, ErrNotKernel) && depth%6 > MaxWrappings {
				return
			}
			t.Fatalf("Open = %v; want no error", err)
		}
		got, err := img.Bytes()
		if err != nil || !bytes.Equal(got, kernel) {
			t.Fatalf("Bytes() through %q = %d bytes, %v; want the kernel's %d", img.Wrapping, len(got), err, len(kernel))
		}
		checkImage(t, img)
	})
}

// FuzzSetupHeader: a header with any values is refused, or read as written
// with every offset inside the file.
func FuzzSetupHeader(f *testing.F) {
	good := imagetest.GoodBzImage().Bytes()
	f.Add(good[setupHeaderStart:0x26c], uint16(0x2000))
	f.Add(good[setupHeaderStart:0x240], uint16(0x1000))
	f.Fuzz(func(t *testing.T, header []byte, size uint16) {
		file := make([]byte, max(int(size), 0x300))
		copy(file[setupHeaderStart:], header)
		copy(file[0x202:], "HdrS")
		copy(file[0x1fe:], "\x55\xaa")
		img, err := openBytes(file)
		if err != nil {
			return
		}
		checkImage(t, img)
		z := img.BzImage
		for _, field := range SetupFields {
			v, ok := z.Field(field.Name)
			if !ok {
				if v != 0 {
					t.Fatalf("Field(%q) = %#x, false; want 0", field.Name, v)
				}
				continue
			}
			if field.Since > z.Version || field.Offset+field.Size > 0x202+int(file[0x201]) && field.Name != "syssize" {
				t.Fatalf("Field(%q) is there in protocol %s with a header that ends at %#x", field.Name, z.Protocol(), 0x202+int(file[0x201]))
			}
			var b [8]byte
			copy(b[:], file[field.Offset:field.Offset+field.Size])
			if field.Name == "syssize" && z.Version < protocolSyssize32 {
				b[2], b[3] = 0, 0
			}
			if want := le.Uint64(b[:]); v != want {
				t.Fatalf("Field(%q) = %#x; the file has %#x", field.Name, v, want)
			}
		}
	})
}
