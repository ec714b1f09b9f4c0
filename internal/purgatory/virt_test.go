package purgatory

import (
	"bytes"
	"testing"
)

// virtARM64 is a bare arm64 machine with 5 GiB from 1 GiB on.
func virtARM64(options string) board {
	return board{
		arch:    arches[1],
		command: "qemu-system-aarch64",
		pkg:     "qemu-system-arm",
		args: []string{"-M", "virt" + options, "-m", "5G", "-serial", "file:serial",
			"-semihosting-config", "enable=on,target=native"},
		load:    0x40080000,
		blob:    0x1_2000_3000,
		words:   14,
		output:  "serial",
		console: "serial",
		serial:  Serial{Kind: SerialPL011, Addr: 0x09000000},
	}
}

// virtRISCV64 is a bare riscv64 machine with 5 GiB from 2 GiB on, under OpenSBI.
func virtRISCV64() board {
	return board{
		arch:    arches[2],
		command: "qemu-system-riscv64",
		pkg:     "qemu-system-misc and opensbi",
		args:    []string{"-M", "virt", "-m", "5G", "-serial", "file:serial"},
		load:    0x80200000,
		blob:    0x1_2000_3000,
		words:   4,
		output:  "serial",
		console: "serial",
		serial:  Serial{Kind: Serial8250MMIO, Addr: 0x10000000},
	}
}

// arm64Machines are the exception levels and CPUs that the purgatory may find.
var arm64Machines = []struct {
	name, options, cpu string
	mode               uint64
	sme                bool // Params.SME
	el                 uint64
	accel              bool // whether the SHA-256 instructions are used
}{
	{"a72, EL1", "", "cortex-a72", 0, false, 1, true},
	{"a72, EL2", ",virtualization=on", "cortex-a72", 0, false, 2, true},
	{"max, EL1", "", "max,sme=off", 0, false, 1, true},
	{"max, EL2", ",virtualization=on", "max,sme=off", 0, false, 2, true},
	{"max, EL2 with E2H", ",virtualization=on", "max,sme=off", modeE2H, false, 2, true},
	{"SME unused, EL1", "", "max", 0, false, 1, false},
	{"SME unused, EL2 with E2H", ",virtualization=on", "max", modeE2H, false, 2, false},
	{"SME, EL1", "", "max", 0, true, 1, true},
	{"SME, EL2", ",virtualization=on", "max", 0, true, 2, true},
	{"SME, EL2 with E2H", ",virtualization=on", "max", modeE2H, true, 2, true},
	{"streaming, EL1", "", "max", modeSM, true, 1, true},
	{"streaming, EL2", ",virtualization=on", "max", modeSM, true, 2, true},
	{"streaming but untold, EL1", "", "max", modeSM, false, 1, false},
}

func TestARM64(t *testing.T) {
	for _, m := range arm64Machines {
		t.Run(m.name, func(t *testing.T) {
			j := job{board: virtARM64(m.options), cpu: m.cpu, mode: m.mode}
			j.fill(t, 0x1_3000_0000)
			j.params.SME = m.sme
			r, err := j.run(t)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "x0", r.words[2], j.params.Arg)
			check(t, "x1", r.words[3], 0)
			check(t, "x2", r.words[4], 0)
			check(t, "x3", r.words[5], 0)
			check(t, "CurrentEL", r.words[8]>>2, m.el)
			check(t, "DAIF", r.words[9], 0x3c0)
			const sctlrM, sctlrA, sctlrC, sctlrI = 1 << 0, 1 << 1, 1 << 2, 1 << 12
			check(t, "SCTLR.{M,A,C,I}", r.words[10]&(sctlrM|sctlrA|sctlrC|sctlrI), sctlrA)
			// CPTR_EL2.TFP without E2H, as the harness set it; else FPEN and SMEN.
			if m.el == 2 && m.mode&modeE2H == 0 {
				check(t, "CPTR_EL2.TFP", r.words[11]>>10&1, 1)
			} else {
				check(t, "FPEN and SMEN", r.words[11]&(3<<20|3<<24), 0)
			}
			if m.mode&modeSM != 0 && m.accel {
				check(t, "SVCR.SM", r.words[13]&1, 0)
			}
			check(t, "V16, as the SHA-256 instructions leave it", b2u(r.words[12] == 0x71374491428a2f98), b2u(m.accel))
			if !bytes.Equal(r.memory, j.wantBackup()) {
				t.Error("the backup region is wrong")
			}
		})
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func TestARM64Variants(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*job)
	}{
		{"unchecked", func(j *job) { j.corrupt(); j.params.SkipChecks = true }},
		{"low", func(j *job) { j.blob = 0x60000000 }},
		{"silent", func(j *job) { j.params.Serial = Serial{} }},
		{"unaligned backup", func(j *job) { j.params.Backup.Dst += 64 - 3; j.dump.Start += 64 - 3 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := job{board: virtARM64(""), cpu: "cortex-a72"}
			j.fill(t, 0x1_3000_0000)
			test.set(&j)
			r, err := j.run(t)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.memory, j.wantBackup()) {
				t.Error("the backup region is wrong")
			}
		})
	}
}

func TestARM64Stops(t *testing.T) {
	for _, m := range arm64Machines {
		t.Run(m.name, func(t *testing.T) {
			j := job{board: virtARM64(m.options), cpu: m.cpu, mode: m.mode}
			j.fill(t, 0x1_3000_0000)
			j.params.SME = m.sme
			j.corrupt()
			j.stops(t, MismatchText)
		})
	}
}

func TestRISCV64(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*job)
		a1   uint64
	}{
		{"own device tree", func(j *job) { j.params.Arg = 0x1_2345_6780 }, 0x1_2345_6780},
		{"the kernel's device tree", func(j *job) { j.keepArg = true }, 0x12345678},
		{"unchecked", func(j *job) { j.corrupt(); j.params.SkipChecks = true }, 0x1_2345_6780},
		{"low", func(j *job) { j.blob = 0x90000000 }, 0x1_2345_6780},
		{"unaligned backup", func(j *job) { j.params.Backup.Dst += 61; j.dump.Start += 61 }, 0x1_2345_6780},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := job{board: virtRISCV64(), cpu: "rv64"}
			j.fill(t, 0x1_3000_0000)
			test.set(&j)
			r, err := j.run(t)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "a0", r.words[1], 0)
			check(t, "a1", r.words[2], test.a1)
			if !bytes.Equal(r.memory, j.wantBackup()) {
				t.Error("the backup region is wrong")
			}
		})
	}
}

func TestRISCV64Stops(t *testing.T) {
	for _, serial := range []Serial{{Kind: Serial8250MMIO, Addr: 0x10000000}, {Kind: SerialSBI}} {
		j := job{board: virtRISCV64(), cpu: "rv64"}
		j.fill(t, 0x1_3000_0000)
		j.params.Serial = serial
		j.corrupt()
		j.stops(t, MismatchText)
	}
}
