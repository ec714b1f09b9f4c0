package main

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
)

// An initramfs for another architecture has that one's program as init.
func TestInitramfsArch(t *testing.T) {
	b := newBench(t)
	out := b.dir + "/out"
	program := func(machine elf.Machine) string {
		e := imagetest.GoodELF(machine, binary.LittleEndian)
		return b.file("gokexec-"+machine.String(), e.Bytes())
	}
	args := func(more ...string) []string {
		return append([]string{"initramfs", "-o", out, "--sysroot", b.dir, "-k", "9.9", "raw:/dev/nvme0n1"}, more...)
	}
	b.want(exitUsage, "", "--arch", args("--arch", "vax")...)
	b.want(exitFailure, "", "gokexec-riscv64 is not there", args("--arch", "riscv64")...)
	b.want(exitFailure, "", "not for aarch64", args("--arch", "arm64", "--init", program(elf.EM_RISCV))...)
	b.want(exitFailure, "", "is not an ELF program", args("--arch", "arm64", "--init", b.file("script", []byte(strings.Repeat("#", 100))))...)
	b.want(exitOK, "out: ", "no modules of kernel 9.9", args("--arch", "aarch64", "--init", program(elf.EM_AARCH64))...)
}

// A plan for a machine of another architecture, from its collected tree.
func TestDryRunArch(t *testing.T) {
	b := newBench(t)
	m := kexectest.NewARM64Machine(t, 64<<10, kexectest.VA52)
	kernel := b.file("Image", imagetest.ARM64{ImageSize: 0x470000, Flags: 0xe, Body: make([]byte, 1<<16)}.Bytes())
	args := []string{"load", "--crash", kernel, "--initrd", b.initrd, "--dry-run", "--sysroot", m.Dir, "--arch", "arm64"}
	for _, part := range []string{"would load the crash kernel by kexec_load(ON_CRASH)", "CONFIG_KEXEC_FILE", "dtb ", "uses     [0x53600000-0x5b600000)", "EM_AARCH64", "aligned to 0x10000"} {
		b.want(exitOK, part, "", args...)
	}
	if strings.Contains(b.stdout.String(), "e820") {
		t.Errorf("the plan for arm64 has an e820 map:\n%s", &b.stdout)
	}
	b.want(exitOK, `"usable_memory"`, "", append(args, "--json")...)
	b.want(exitFailure, "", "no.dtb", append(args, "--dtb", b.dir+"/no.dtb")...)
	b.want(exitFailure, "", "of no use on x86_64", "load", "--crash", b.vmlinuz, "--dtb", b.initrd)
}
