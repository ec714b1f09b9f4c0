package bootimage

import (
	"bytes"
	"debug/pe"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

func section(name, data string) imagetest.Section {
	return imagetest.Section{Name: name, Data: []byte(data)}
}

func TestUKI(t *testing.T) {
	bz := imagetest.GoodBzImage().Bytes()
	img, err := openBytes(imagetest.PE(0x8664,
		section(".text", "code"),
		section(".osrel", "ID=debian\nVERSION_ID=13\n"),
		section(".uname", "6.12.107+deb13-cloud-amd64\n"),
		section(".cmdline", "root=/dev/vda1\nquiet \n\x00"),
		section(".dtb", "\xd0\x0d\xfe\xed"),
		section(".initrd", "070701..."),
		// As ukify does, room for the kernel's bss.
		imagetest.Section{Name: ".linux", Data: bz, VirtualSize: 1 << 26},
	))
	if err != nil {
		t.Fatalf("Open = %v; want no error", err)
	}
	if want := "root=/dev/vda1 quiet"; img.Cmdline != want {
		t.Errorf("Cmdline = %q; want %q", img.Cmdline, want)
	}
	if release, err := img.Release(); release != "6.12.107+deb13-cloud-amd64" || err != nil {
		t.Errorf("Release() = %q, %v; want that of .uname", release, err)
	}
	if want := "ID=debian\nVERSION_ID=13"; img.UKI.OSRelease != want {
		t.Errorf("OSRelease = %q; want %q", img.UKI.OSRelease, want)
	}
	initrd, err := img.Initrd()
	if string(initrd) != "070701..." || err != nil || img.InitrdSize() != int64(len(initrd)) {
		t.Errorf("Initrd() = %q, %v, InitrdSize() = %d; want \"070701...\"", initrd, err, img.InitrdSize())
	}
	r, ok := img.UKI.Section(".dtb")
	if !ok {
		t.Fatal("Section(.dtb) is not there")
	}
	if dtb, err := io.ReadAll(r); string(dtb) != "\xd0\x0d\xfe\xed" || err != nil {
		t.Errorf("Section(.dtb) = % x, %v; want d0 0d fe ed", dtb, err)
	}
	if _, ok := img.UKI.Section(".splash"); ok {
		t.Error("Section(.splash) is there; want none")
	}
	if kernel, err := img.Bytes(); err != nil || !bytes.HasPrefix(kernel, bz) {
		t.Errorf("Bytes() = %d bytes, %v; want the bzImage of %d, and padding", len(kernel), err, len(bz))
	}
	if img.Unwrapped() {
		t.Error("Unwrapped() = true for a UKI; want false")
	}
}

func TestUKIWithout(t *testing.T) {
	img, err := openBytes(imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: imagetest.GoodBzImage().Bytes()}))
	if err != nil {
		t.Fatal(err)
	}
	if initrd, err := img.Initrd(); initrd != nil || err != nil || img.Cmdline != "" || img.InitrdSize() != 0 {
		t.Errorf("Initrd() = %q, %v, Cmdline %q; want nothing", initrd, err, img.Cmdline)
	}
	if img, err = openBytes(imagetest.GoodBzImage().Bytes()); err != nil {
		t.Fatal(err)
	}
	if initrd, err := img.Initrd(); initrd != nil || err != nil || img.InitrdSize() != 0 {
		t.Errorf("Initrd() of a bzImage = %q, %v; want nothing", initrd, err)
	}
}

// TestUKIMicrocode: .ucode goes first, aligned as an initrd must be.
func TestUKIMicrocode(t *testing.T) {
	img, err := openBytes(imagetest.PE(0x8664,
		imagetest.Section{Name: ".linux", Data: imagetest.GoodBzImage().Bytes()},
		section(".initrd", "initrd"), section(".ucode", "ucode"), section(".initrd", "a second one is not used")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := img.Initrd()
	if want := "ucode\x00\x00\x00initrd"; string(got) != want || err != nil {
		t.Errorf("Initrd() = %q, %v; want %q", got, err, want)
	}
	if img.InitrdSize() != int64(len(got)) {
		t.Errorf("InitrdSize() = %d; want %d", img.InitrdSize(), len(got))
	}
}

func TestUKIProfiles(t *testing.T) {
	linux := imagetest.Section{Name: ".linux", Data: imagetest.GoodBzImage().Bytes()}
	img, err := openBytes(imagetest.PE(0x8664, linux, section(".cmdline", "base"), section(".initrd", "base"),
		section(".profile", "ID=main"), section(".cmdline", "main"),
		section(".profile", "ID=reset"), section(".cmdline", "reset"), section(".dtb", "reset")))
	if err != nil {
		t.Fatal(err)
	}
	if img.Cmdline != "main" || img.UKI.Profiles != 2 {
		t.Errorf("Cmdline = %q, Profiles = %d; want \"main\", 2", img.Cmdline, img.UKI.Profiles)
	}
	if initrd, err := img.Initrd(); string(initrd) != "base" || err != nil {
		t.Errorf("Initrd() = %q, %v; want \"base\"", initrd, err)
	}
	if _, ok := img.UKI.Section(".dtb"); ok {
		t.Error("Section(.dtb) of another profile is there; want none")
	}
	// A kernel in another profile only.
	_, err = openBytes(imagetest.PE(0x8664, section(".profile", "ID=main"), section(".profile", "ID=other"), linux))
	if !errors.Is(err, ErrNotKernel) || !strings.Contains(err.Error(), "in no profile that boots by default") {
		t.Errorf("Open = %v; want ErrNotKernel, in no profile that boots by default", err)
	}
}

func TestUKIBad(t *testing.T) {
	linux := imagetest.Section{Name: ".linux", Data: imagetest.GoodBzImage().Bytes()}
	long := imagetest.PE(0x8664, linux, section(".cmdline", strings.Repeat("x", maxUKIText+1)))
	if _, err := openBytes(long); err == nil || !strings.Contains(err.Error(), "section .cmdline has 65537 bytes, at most 65536 are read") {
		t.Errorf("Open with a long .cmdline = %v; want an error that says so", err)
	}
	path := imagetest.PE(0x8664, linux, section(".uname", "../../../etc"))
	img, err := openBytes(path)
	if err != nil {
		t.Fatal(err)
	}
	if release, err := img.Release(); err == nil {
		t.Errorf("Release() = %q; want an error, it is a path", release)
	}
}

// FuzzPE: sections are those that debug/pe reads, wherever it takes the file.
func FuzzPE(f *testing.F) {
	f.Add(imagetest.PE(0x8664, section(".linux", "x"), section(".cmdline", "y")))
	f.Add(imagetest.GoodBzImage().Bytes()[:0x400])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parsePE(source{r: bytes.NewReader(b), size: int64(len(b))})
		if err != nil || len(b) < 2 || string(b[:2]) != "MZ" {
			return
		}
		want, err := pe.NewFile(bytes.NewReader(b))
		if err != nil {
			return // its optional header and string table, which nothing here reads
		}
		var sections []UKISection
		for _, s := range want.Sections {
			name := s.Name
			if strings.HasPrefix(got.sections[len(sections)].Name, "/") {
				name = got.sections[len(sections)].Name // a long name, which no UKI has
			}
			sections = append(sections, UKISection{name, s.VirtualSize, s.Size, s.Offset})
		}
		if got.machine != want.Machine || !slices.Equal(got.sections, sections) {
			t.Fatalf("parsePE = %#x, %+v; debug/pe reads %#x, %+v", got.machine, got.sections, want.Machine, sections)
		}
	})
}
