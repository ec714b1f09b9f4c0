package purgatory

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// pc is a bare x86-64 machine. Its identity map reaches to 8 GiB, as far as the
// kernel's would with that much memory.
func pc() board {
	return board{
		arch:    arches[0],
		command: "qemu-system-x86_64",
		pkg:     "qemu-system-x86",
		args: []string{"-M", "q35", "-m", "6G", "-serial", "file:serial", "-debugcon", "file:debugcon",
			"-device", "isa-debug-exit,iobase=0xf4,iosize=4"},
		load:    0x10c000,
		blob:    0x1_4000_5000,
		words:   24,
		output:  "debugcon",
		console: "serial",
		serial:  Serial{Kind: Serial8250Port, Addr: 0x3f8, Baud: 115200},
		done:    0x10<<1 | 1, // isa-debug-exit
	}
}

// multibootImage wraps the harness up as a Multiboot kernel for 0x100000: header, GDT
// and page tables where testcode/harness_amd64.s wants them.
func multibootImage(harness []byte) []byte {
	const base = 0x100000
	img := make([]byte, 0x10000)
	le := binary.LittleEndian
	put32 := func(addr int, values ...uint32) {
		for i, v := range values {
			le.PutUint32(img[addr-base+4*i:], v)
		}
	}
	put64 := func(addr int, values ...uint64) {
		for i, v := range values {
			le.PutUint64(img[addr-base+8*i:], v)
		}
	}
	// Multiboot specification 0.6.96, 3.1: with the address fields, flag 16.
	const magic, flags = 0x1badb002, 1 << 16
	put32(base, magic, flags, -(magic+flags)&0xffffffff, base, base, 0, 0, 0x10c000)
	const gdtr, gdt, pml4, pdpt, pd, present, huge = 0x101000, 0x101010, 0x102000, 0x103000, 0x104000, 3, 0x80
	le.PutUint16(img[gdtr-base:], 31)
	put32(gdtr+2, gdt)
	put64(gdt, 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff)
	// What AT_NODT points to, 0x101008, is zero: no limit, no base.
	put64(pml4, pdpt|present)
	for i := range 8 {
		put64(pdpt+8*i, uint64(pd+i<<12|present))
		for k := range 512 {
			put64(pd+i<<12+8*k, uint64(i)<<30|uint64(k)<<21|present|huge)
		}
	}
	copy(img[0xc000:], harness)
	return img
}

// The state that the kernel is entered in.
func (j *job) checkPC(t *testing.T, r report) {
	t.Helper()
	const (
		dsReg = iota + 4
		ssReg
		csReg
		flags
		sp
		general // r15 to r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
	)
	check(t, "cr4 without SSE", r.words[2]&^uint64(1<<9), 0x20)
	check(t, "cr4.OSFXSR", r.words[2]&(1<<9), 0)
	check(t, "cr0", r.words[3], 0x80000011)
	check(t, "ds", r.words[dsReg], 0x18)
	check(t, "ss", r.words[ssReg], 0x18)
	check(t, "cs", r.words[csReg], 0x10)
	const arithmetic = 0x8d5 // OF, SF, ZF, AF, PF, CF
	check(t, "rflags", r.words[flags]&^arithmetic, 2)
	check(t, "rsp", r.words[sp], j.blob+memSize(t, j.arch))
	for i, name := range []string{"r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8", "rbp", "rdi", "rsi", "rdx", "rcx", "rbx", "rax"} {
		want := uint64(0)
		if name == "rsi" {
			want = j.params.Arg
		}
		check(t, name, r.words[general+i], want)
	}
}

func TestPC(t *testing.T) {
	for _, test := range []struct {
		name string
		cpu  string
		set  func(*job)
	}{
		{"qemu64", "qemu64", nil},
		{"max", "max", nil},
		{"low", "qemu64", func(j *job) { j.blob = 0x3000000 }},
		{"unchecked", "qemu64", func(j *job) { j.corrupt(); j.params.SkipChecks = true }},
		{"silent", "qemu64", func(j *job) { j.params.Serial = Serial{} }},
		{"CPUID raises an exception", "qemu64", func(j *job) {
			// As under SEV-ES: UD2 for CPUID.
			j.change = func(blob []byte) {
				i := bytes.Index(blob, []byte{0x0f, 0xa2})
				copy(blob[i:], []byte{0x0f, 0x0b})
			}
		}},
		{"no backup", "qemu64", func(j *job) { j.params.Backup = Backup{}; j.memory[1].data = make([]byte, 0x3000); j.dump.Len = 0 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := job{board: pc(), cpu: test.cpu}
			j.fill(t, 0x1_5000_0000)
			if test.set != nil {
				test.set(&j)
				if !j.params.SkipChecks {
					j.params.Regions, j.params.Digest = regionsOf(t, j.memory)
				}
			}
			r, err := j.run(t)
			if err != nil {
				t.Fatal(err)
			}
			j.checkPC(t, r)
			if j.dump.Len != 0 && !bytes.Equal(r.memory, j.wantBackup()) {
				t.Error("the backup region is wrong")
			}
			// What SHA-NI leaves in X9. QEMU's TCG has it since 8.2.
			used := r.words[1] == 0x0405060700010203
			if version := qemuVersion(t, j.command); test.cpu == "max" && version < 9 {
				t.Logf("NOT TESTED: SHA-NI, which QEMU %d may not have; used: %v", version, used)
			} else if used != (test.cpu == "max") {
				t.Errorf("SHA-NI used: %v with -cpu %s", used, test.cpu)
			}
		})
	}
}

// qemuVersion is the major version of a QEMU.
func qemuVersion(t *testing.T, command string) int {
	t.Helper()
	out, err := exec.Command(command, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major int
	if _, err := fmt.Sscanf(string(out), "QEMU emulator version %d.", &major); err != nil {
		t.Fatalf("%s --version = %q: %v", command, out, err)
	}
	return major
}

func TestPCStops(t *testing.T) {
	for _, test := range []struct {
		name, cpu, want string
		set             func(*job)
	}{
		{"corrupt", "qemu64", MismatchText, (*job).corrupt},
		{"corrupt, max", "max", MismatchText, (*job).corrupt},
		{"port left as it is", "qemu64", MismatchText, func(j *job) { j.corrupt(); j.params.Serial.Baud = 0 }},
		{"9600 baud", "qemu64", MismatchText, func(j *job) { j.corrupt(); j.params.Serial.Baud = 9600 }},
		{"region that is not mapped", "qemu64", FaultText, func(j *job) { j.params.Regions[0].Start = 12 << 30 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := job{board: pc(), cpu: test.cpu}
			j.fill(t, 0x1_5000_0000)
			test.set(&j)
			j.stops(t, test.want)
		})
	}
}

// waitStarted waits until the harness is about to enter the purgatory.
func (j *job) waitStarted(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(bootTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if out, err := os.ReadFile(filepath.Join(dir, j.output)); err == nil && bytes.Contains(out, []byte("S")) {
			return
		}
	}
	t.Fatal("the machine did not start")
}

// A mismatch without a serial port, or with one that isn't there, stops too.
func TestPCStopsSilently(t *testing.T) {
	for _, serial := range []Serial{{}, {Kind: Serial8250Port, Addr: 0x2e8}} {
		j := job{board: pc(), cpu: "qemu64"}
		j.fill(t, 0x1_5000_0000)
		j.corrupt()
		j.params.Serial = serial
		dir := t.TempDir()
		cmd := j.start(t, dir)
		j.waitStarted(t, dir)
		time.Sleep(2 * time.Second)
		cmd.Process.Kill()
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			t.Errorf("with serial port %#x QEMU ended (%v); want the machine stopped", serial.Addr, err)
		}
		if _, err := j.report(t, dir); err == nil {
			t.Errorf("with serial port %#x the kernel was entered", serial.Addr)
		}
	}
}

// NMIs that come during the seconds of hashing do no harm.
func TestPCNMI(t *testing.T) {
	j := job{board: pc(), cpu: "qemu64"}
	j.fill(t, 0x1_5000_0000)
	j.memory = append(j.memory, chunk{0x1000_0000, nil, 128 << 20})
	j.params.Regions, j.params.Digest = regionsOf(t, j.memory)
	dir := t.TempDir()
	socket := filepath.Join(dir, "q")
	j.args = []string{"-qmp", "unix:q,server=on,wait=off"}
	cmd := j.start(t, dir)
	timer := time.AfterFunc(bootTimeout, func() { cmd.Process.Kill() })
	defer timer.Stop()

	j.waitStarted(t, dir)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	replies := bufio.NewScanner(conn)
	sent := 0
	fmt.Fprintln(conn, `{"execute":"qmp_capabilities"}`)
	for replies.Scan() {
		if bytes.Contains(replies.Bytes(), []byte(`"SHUTDOWN"`)) {
			break
		}
		if bytes.Contains(replies.Bytes(), []byte(`"return"`)) {
			time.Sleep(10 * time.Millisecond)
			if _, err := fmt.Fprintln(conn, `{"execute":"inject-nmi"}`); err != nil {
				break
			}
			sent++
		}
	}
	cmd.Wait()
	r, err := j.report(t, dir)
	if err != nil {
		t.Fatalf("after %d NMIs: %v", sent, err)
	}
	j.checkPC(t, r)
	if sent < 3 {
		t.Errorf("only %d NMIs were sent: the purgatory was too fast", sent)
	}
	t.Logf("%d NMIs", sent)
}
