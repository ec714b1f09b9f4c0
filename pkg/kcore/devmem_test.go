package kcore

import (
	"debug/elf"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func TestMapFromVMCoreInfo(t *testing.T) {
	iomem := mustIomem(t, "00100000-7fffffff : System RAM\n  01000000-01ffffff : Kernel code\n  02000000-02ffffff : Kernel data\n")
	const x86 = "OSRELEASE=6.12.1\nPAGESIZE=4096\nNUMBER(phys_base)=0\nKERNELOFFSET=0\n"
	for _, tt := range []struct {
		name, info, cmdline string
		machine             elf.Machine
		direct, text        uint64 // text: less its physical address
		err                 string
	}{
		{name: "x86", info: x86 + "NUMBER(pgtable_l5_enabled)=0\n", cmdline: "quiet nokaslr", machine: elf.EM_X86_64, direct: 0xffff888000000000, text: vmcore.StartKernelMap},
		{name: "x86, 5 levels", info: x86 + "NUMBER(pgtable_l5_enabled)=1\n", cmdline: "nokaslr", machine: elf.EM_X86_64, direct: 0xff11000000000000, text: vmcore.StartKernelMap},
		{name: "x86, KASLR", info: x86 + "NUMBER(pgtable_l5_enabled)=0\n", cmdline: "quiet", err: "random"},
		{name: "x86, moved", info: strings.Replace(x86, "SET=0", "SET=1d000000", 1) + "NUMBER(pgtable_l5_enabled)=0\n", cmdline: "nokaslr", err: "random"},
		{name: "x86, old", info: strings.Replace(x86, "6.12.1", "4.19.0", 1) + "NUMBER(pgtable_l5_enabled)=0\n", cmdline: "nokaslr", err: "older than 4.20"},
		// As Linux 6.12 prints them, RAM from 1 GiB on.
		{name: "arm64", info: "OSRELEASE=6.12.1\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffff80003fc00000\nNUMBER(PHYS_OFFSET)=0x40000000\n",
			machine: elf.EM_AARCH64, direct: 0xffff000000000000 - 0x40000000, text: 0xffff80003fc00000},
		{name: "arm64, old", info: "OSRELEASE=5.3.0\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffff80003fc00000\nNUMBER(PHYS_OFFSET)=0x40000000\n", err: "5.4"},
		{name: "riscv", info: "OSRELEASE=6.12.1\nNUMBER(PAGE_OFFSET)=0xffffaf8000000000\nNUMBER(phys_ram_base)=0x80000000\nNUMBER(va_kernel_pa_offset)=0xffffffff00000000\n",
			machine: elf.EM_RISCV, direct: 0xffffaf8000000000 - 0x80000000, text: 0xffffffff00000000},
		{name: "another", info: "OSRELEASE=6.12.1\n", err: "architecture"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{
				"dev/mem":      {Data: append(make([]byte, 4096), vmcoreinfoNote(tt.info)...)},
				"proc/cmdline": {Data: []byte(tt.cmdline + "\n")},
			}
			m, err := mapFromNote(root, iomem, elfcore.NoteRange{Addr: 4096, Size: uint64(len(vmcoreinfoNote(tt.info)))})
			if tt.err != "" {
				if !errors.Is(err, ErrNotEnough) || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("mapFromNote = %+v, %v; want ErrNotEnough, %q", m, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Machine != tt.machine || m.Direct != tt.direct || m.Text.Phys != 0x1000000 || m.Text.MemSize != 0x2000000 || m.Text.Virt != tt.text+0x1000000 {
				t.Errorf("mapFromNote = %+v; want direct map %#x, text %#x", *m, tt.direct, tt.text)
			}
		})
	}
	root := fstest.MapFS{"dev/mem": {Data: make([]byte, 8192)}, "proc/cmdline": {}}
	if _, err := mapFromNote(root, iomem, elfcore.NoteRange{Addr: 4096, Size: 4096}); !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
		t.Errorf("zeroes instead of a note: %v; want vmcore.ErrNoVMCoreInfo", err)
	}
	if _, err := mapFromNote(root, iomem, elfcore.NoteRange{Addr: memmap.PhysAddr(1) << 63, Size: 4096}); err == nil {
		t.Error("a note beyond what a file can have was read")
	}
}
