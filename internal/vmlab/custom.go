package vmlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// customName is the name of the user's own kernel.
const customName = "custom"

// customKernel is GOKEXEC_VM_KERNEL=IMAGE[:MODULESROOT], where MODULESROOT has
// lib/modules/RELEASE in it. The architecture is this machine's unless
// GOKEXEC_VM_ARCH says otherwise.
func customKernel() (*Kernel, error) {
	value := os.Getenv("GOKEXEC_VM_KERNEL")
	if value == "" {
		return nil, errors.New("GOKEXEC_VM_KERNEL is not set")
	}
	image, modules, _ := strings.Cut(value, ":")
	image, err := filepath.Abs(image)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 64<<10)
	f, err := os.Open(image)
	if err != nil {
		return nil, fmt.Errorf("GOKEXEC_VM_KERNEL: %w", err)
	}
	defer f.Close()
	n, err := f.ReadAt(head, 0)
	if n == 0 {
		return nil, fmt.Errorf("GOKEXEC_VM_KERNEL: read %s: %w", image, err)
	}
	k := &Kernel{Name: customName, Arch: runtime.GOARCH, Image: image, Release: bzImageRelease(head[:n])}
	if arch := os.Getenv("GOKEXEC_VM_ARCH"); arch != "" {
		k.Arch = arch
	}
	if modules == "" {
		return k, nil
	}
	if k.ModulesRoot, err = filepath.Abs(modules); err != nil {
		return nil, err
	}
	if k.Release == "" {
		dirs, _ := filepath.Glob(filepath.Join(k.ModulesRoot, "lib/modules/*"))
		if len(dirs) != 1 {
			return nil, fmt.Errorf("GOKEXEC_VM_KERNEL: the image doesn't tell its release, and %s/lib/modules has %d", modules, len(dirs))
		}
		k.Release = filepath.Base(dirs[0])
	}
	if _, err := os.Stat(filepath.Join(k.ModulesRoot, "lib/modules", k.Release)); err != nil {
		return nil, fmt.Errorf("GOKEXEC_VM_KERNEL: %w", err)
	}
	return k, nil
}

// bzImageRelease reads the release out of an x86 setup header
// (Documentation/arch/x86/boot.rst, kernel_version at 0x20e); empty if it is
// no bzImage.
func bzImageRelease(head []byte) string {
	if len(head) < 0x210 || string(head[0x202:0x206]) != "HdrS" {
		return ""
	}
	at := int(binary.LittleEndian.Uint16(head[0x20e:])) + 0x200
	if at == 0x200 || at >= len(head) {
		return ""
	}
	text, _, ok := strings.Cut(string(head[at:]), "\x00")
	if !ok {
		return ""
	}
	release, _, _ := strings.Cut(text, " ")
	return release
}
