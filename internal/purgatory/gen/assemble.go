package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// paramsMagic marks the parameter block, 8 bytes at its beginning.
const paramsMagic = "GKXPURG1"

// image is a piece of machine code cut out of a linked program, from the symbol
// entry to the symbol end. Offsets are bytes from entry.
type image struct {
	addr    uint64 // where it was linked
	code    []byte
	params  int
	offsets map[string]int
}

// assemble builds the program in dir/pkg for goarch and cuts its code out.
//
// The program is linked at three addresses, which differ modulo 4 KiB too. Equal
// bytes prove that nothing in the code depends on where it lies: no relocation is
// left to apply, and none was applied that is relative to a page.
func assemble(dir, pkg, goarch string, symbols ...string) (*image, error) {
	tmp, err := os.MkdirTemp("", "purgatory")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var images []*image
	for _, variant := range [][]string{
		{"-tags=purgatory"},
		{"-tags=purgatory", "-ldflags=-T=0x73211000"},
		{"-tags=purgatory,shift", "-ldflags=-T=0x3451000"},
	} {
		out := filepath.Join(tmp, "linked")
		args := append([]string{"build", "-trimpath", "-buildvcs=false", "-buildmode=exe", "-o", out}, variant...)
		cmd := exec.Command("go", append(args, "./"+pkg)...)
		cmd.Dir = dir
		// Pin everything that changes what the assembler or linker emits.
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off",
			"GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GORISCV64=rva20u64", "GOPPC64=power8")
		if msg, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s for %s: %w\n%s", pkg, goarch, err, msg)
		}
		img, err := cut(out, symbols)
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", pkg, goarch, err)
		}
		images = append(images, img)
	}
	const page = 4096
	if images[1].addr%page == images[2].addr%page {
		return nil, fmt.Errorf("%s for %s: code at %#x and %#x: want different places in a page", pkg, goarch, images[1].addr, images[2].addr)
	}
	for _, img := range images[1:] {
		if !bytes.Equal(img.code, images[0].code) {
			return nil, fmt.Errorf("%s for %s: not position independent: at %#x and %#x the code differs", pkg, goarch, images[0].addr, img.addr)
		}
	}
	return images[0], nil
}

// cut reads the code between the symbols main.entry and main.end.
func cut(path string, names []string) (*image, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := f.Section(".text")
	if text == nil {
		return nil, fmt.Errorf("%s: no .text", path)
	}
	data, err := text.Data()
	if err != nil {
		return nil, err
	}
	all, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	addr := make(map[string]uint64)
	var last uint64
	for _, s := range all {
		name := strings.TrimSuffix(strings.TrimPrefix(s.Name, "main."), ".abi0")
		if name != s.Name && elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			last = max(last, s.Value)
			// Calls from Go go through a wrapper with the plain name.
			if _, seen := addr[name]; !seen || strings.HasSuffix(s.Name, ".abi0") {
				addr[name] = s.Value
			}
		}
	}
	for _, name := range append([]string{"entry", "end"}, names...) {
		if addr[name] == 0 {
			return nil, fmt.Errorf("no symbol %s", name)
		}
	}
	start, end := addr["entry"], addr["end"]
	if start < text.Addr || end <= start || end-text.Addr > uint64(len(data)) {
		return nil, fmt.Errorf("entry %#x and end %#x don't enclose code", start, end)
	}
	// Go puts the package's own functions first, so nothing of them follows end.
	if last != end {
		return nil, fmt.Errorf("code at %#x lies after the symbol end, %#x", last, end)
	}
	img := &image{addr: start, code: slices.Clone(data[start-text.Addr : end-text.Addr]), offsets: make(map[string]int)}
	for _, name := range names {
		if addr[name] < start || addr[name] >= end {
			return nil, fmt.Errorf("symbol %s = %#x lies outside", name, addr[name])
		}
		img.offsets[name] = int(addr[name] - start)
	}
	img.params = bytes.Index(img.code, []byte(paramsMagic))
	if img.params < 0 || img.params%8 != 0 || bytes.Count(img.code, []byte(paramsMagic)) != 1 {
		return nil, fmt.Errorf("want one aligned parameter block, at %#x", img.params)
	}
	return img, nil
}

// checkPurgatory: the code must end before the memory it uses, which is the last
// page of what it asks for.
func checkPurgatory(img *image, goarch string) error {
	const page = 4096
	order := binary.ByteOrder(binary.LittleEndian)
	if goarch == "s390x" {
		order = binary.BigEndian
	}
	memSize := order.Uint32(img.code[img.params+12:])
	if memSize%page != 0 || len(img.code) > int(memSize)-page {
		return fmt.Errorf("code of %#x bytes doesn't fit below the last page of %#x", len(img.code), memSize)
	}
	return nil
}
