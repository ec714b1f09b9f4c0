package purgatory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The whole blob on a bare machine in QEMU: the harness enters it in the state that
// the kernel leaves, and is what it enters.

// board is a machine of QEMU's.
type board struct {
	arch
	command string // QEMU
	pkg     string // Debian package
	args    []string
	load    uint64 // physical address of the harness's entry
	blob    uint64 // and of the purgatory
	words   int    // how many 64-bit words the harness's kernel writes first
	output  string // file that it writes them to
	console string // file of the serial port that the purgatory knows
	serial  Serial
	done    int // exit status of QEMU when the harness's kernel stopped it
}

// job is one boot.
type job struct {
	board
	params  Params
	memory  []chunk
	dump    Region
	mode    uint64
	cpu     string
	args    []string
	keepArg bool              // leave Params.Arg 0
	change  func(blob []byte) // changes the code, if not nil
}

// report is what the harness's kernel wrote: its registers, and memory.
type report struct {
	words  []uint64
	memory []byte
}

// bootTimeout is generous: a boot takes a tenth of a second on an idle host.
const bootTimeout = time.Minute

var errStopped = errors.New("no report")

// start boots the machine; files go to dir.
func (j *job) start(t testing.TB, dir string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(j.command)
	if err != nil {
		missing(t, "%s is not installed (Debian: %s)", j.command, j.pkg)
	}
	j.params.Entry = j.load + uint64(harnessOffsets[j.goarch].kernel)
	if j.params.Arg == 0 && !j.keepArg {
		j.params.Arg = 0x1_2345_6780
	}
	h := harness(t, j.arch, harnessBlob, j.blob, harnessDump, j.dump.Start, harnessDumpLen, j.dump.Len, harnessMode, j.mode)
	if j.goarch == "amd64" {
		h = multibootImage(h)
	}
	args := append([]string{"-nodefaults", "-display", "none", "-no-reboot", "-cpu", j.cpu, "-accel", "tcg"}, j.board.args...)
	args = append(args, j.args...)
	args = append(args, "-kernel", write(t, dir, "kernel", h))
	// The code must not rely on zeros after it.
	blob := patched(t, j.arch, &j.params)
	if j.change != nil {
		j.change(blob)
	}
	blob = append(blob, bytes.Repeat([]byte{0xa5}, int(memSize(t, j.arch))-len(blob))...)
	memory := append([]chunk{{addr: j.blob, data: blob}}, j.memory...)
	for i, c := range memory {
		if len(c.data) != 0 {
			args = append(args, "-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", write(t, dir, fmt.Sprint("memory", i), c.data), c.addr))
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // does nothing once it was waited for
	return cmd
}

func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name // QEMU runs in dir, whose name may hold a comma
}

// run boots the machine and returns what the harness's kernel reports.
func (j *job) run(t testing.TB) (report, error) {
	t.Helper()
	dir := t.TempDir()
	cmd := j.start(t, dir)
	timer := time.AfterFunc(bootTimeout, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != j.done {
		return report{}, fmt.Errorf("%w: QEMU's exit status is %d; want %d (%v); console %q", errStopped, got, j.done, err, j.text(t, dir))
	}
	return j.report(t, dir)
}

func (j *job) report(t testing.TB, dir string) (report, error) {
	t.Helper()
	out, err := os.ReadFile(filepath.Join(dir, j.output))
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(out, []byte("OKOK\x00\x00\x00\x00"))
	if i < 0 || len(out)-i != 8*j.words+int(j.dump.Len) {
		return report{}, fmt.Errorf("%w: got %q", errStopped, out)
	}
	r := report{words: make([]uint64, j.words), memory: out[i+8*j.words:]}
	binary.Read(bytes.NewReader(out[i:]), binary.LittleEndian, r.words)
	return r, nil
}

// text returns what the purgatory wrote to its serial port.
func (j *job) text(t testing.TB, dir string) string {
	t.Helper()
	out, err := os.ReadFile(filepath.Join(dir, j.console))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	// The firmware's console adds a CR of its own.
	return strings.ReplaceAll(string(out), "\r\r\n", "\r\n")
}

// stops boots the machine and checks that it ends with the text on the serial port
// and does nothing more.
func (j *job) stops(t *testing.T, want string) {
	t.Helper()
	dir := t.TempDir()
	cmd := j.start(t, dir)
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	want += "\r\n"
	ends := func() bool { return bytes.HasSuffix([]byte(j.text(t, dir)), []byte(want)) }
	deadline := time.Now().Add(60 * time.Second)
	for !ends() && time.Now().Before(deadline) {
		select {
		case err := <-exited:
			t.Fatalf("QEMU ended (%v); want the machine stopped; console %q", err, j.text(t, dir))
		case <-time.After(20 * time.Millisecond):
		}
	}
	select {
	case err := <-exited:
		t.Errorf("QEMU ended (%v) after the message; want the machine stopped", err)
	case <-time.After(500 * time.Millisecond):
		cmd.Process.Kill()
		<-exited
	}
	if !ends() || bytes.Count([]byte(j.text(t, dir)), []byte(want)) != 1 {
		t.Errorf("console = %q; want it to end with %q, once", j.text(t, dir), want)
	}
	if r, err := j.report(t, dir); err == nil {
		t.Errorf("the kernel was entered: %#x", r.words)
	}
}

// memory for the tests: two regions with data, and room for a backup.
func sample(at uint64) (memory []chunk, backup Backup) {
	return []chunk{
		{at, random(20, 0x12345), 0x14000},
		{at + 0x100000, random(21, 0x3000), 0x3000},
	}, Backup{at + 0x100000, 0x2c00, at + 0x200000}
}

// fill sets up the sample memory, digest and backup of a job.
func (j *job) fill(t testing.TB, at uint64) {
	t.Helper()
	j.memory, j.params.Backup = sample(at)
	j.params.Regions, j.params.Digest = regionsOf(t, j.memory)
	j.params.Serial = j.serial
	j.dump = Region{j.params.Backup.Dst, j.params.Backup.Size + 64}
}

// corrupt changes one bit of the first region.
func (j *job) corrupt() {
	j.memory[0].data[0x1000] ^= 1
}

// wantBackup is the memory after job.fill's dump.
func (j *job) wantBackup() []byte {
	b := make([]byte, j.dump.Len)
	copy(b, j.memory[1].data[:j.params.Backup.Size])
	return b
}

func check(t *testing.T, name string, got, want uint64) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %#x; want %#x", name, got, want)
	}
}

// Seconds from power-on to the kernel's last word, with 64 MiB to hash and without.
func BenchmarkMachine(b *testing.B) {
	const size = 64 << 20
	for _, m := range []struct {
		name string
		job  job
	}{
		{"amd64 scalar", job{board: pc(), cpu: "qemu64"}},
		{"amd64 max", job{board: pc(), cpu: "max"}}, // SHA-NI since QEMU 8.2
		{"arm64 scalar", job{board: virtARM64(""), cpu: "max"}},
		{"arm64 SHA2", job{board: virtARM64(""), cpu: "max,sme=off"}},
		{"riscv64 scalar", job{board: virtRISCV64(), cpu: "rv64"}},
	} {
		b.Run(m.name, func(b *testing.B) {
			j := m.job
			j.fill(b, 0x1_3000_0000)
			j.memory = append(j.memory, chunk{0xa000_0000, nil, size})
			if j.goarch == "amd64" {
				j.memory[2].addr = 0x1000_0000
			}
			j.params.Regions, j.params.Digest = regionsOf(b, j.memory)
			var full, empty time.Duration
			for b.Loop() {
				for _, skip := range []bool{false, true} {
					j.params.SkipChecks = skip
					start := time.Now()
					if _, err := j.run(b); err != nil {
						b.Fatal(err)
					}
					if d := time.Since(start); skip {
						empty += d
					} else {
						full += d
					}
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/1e6/(full-empty).Seconds(), "MB/s")
		})
	}
}
