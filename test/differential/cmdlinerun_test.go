package differential

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
)

// imageFiles are the files that command lines name.
func imageFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	z := imagetest.GoodBzImage()
	z.InitSize = 1 << 20
	kernel := z.Bytes()
	gz := imagetest.Compress(t, "gzip", kernel)
	xz := imagetest.Compress(t, "xz", kernel)
	vmlinux := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
	vmlinux.Progs = vmlinux.Progs[:2] // its PT_NOTE holds none, which kexec-tools minds
	initrd, err := vmlab.Initramfs(vmlab.File{Path: "/init", Data: []byte("an initrd")})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"K": kernel, "K2": kernel, "K.gz": gz, "K.xz": xz, "truncated": kernel[:2048], "I": initrd,
		"text": bytes.Repeat([]byte("no kernel at all\n"), 1000), "arm64": imagetest.GoodARM64().Bytes(),
		"V": vmlinux.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// program is one of the programs that are compared.
type program struct {
	release string // "" is gokexec
	argv    []string
	path    string // put before PATH
}

func programs(t *testing.T) []program {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kexec") // the name decides what it is
	cmd := exec.Command("go", "build", "-o", binary, "../../cmd/gokexec")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	all := []program{{argv: []string{"kexec"}, path: filepath.Dir(binary) + ":"}}
	for _, suite := range []string{"bookworm", "sid"} {
		pkg := vmlab.GetTestPackage(t, suite, "kexec-tools")
		p, err := pkg.HostProgram("usr/sbin/kexec")
		if err != nil {
			t.Fatal(err)
		}
		release := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(pkg.Version)
		all = append(all, program{release: release, argv: p.Argv})
	}
	return all
}

// outcome is what a program did with a command line.
type outcome struct {
	code           int
	stdout, stderr string
}

// runAll runs command lines one after the other, so that they see the machine and
// can change nothing: without the capabilities for it, in a network of their own.
func (p program) runAll(t *testing.T, machine, files string, lines [][]string) []outcome {
	t.Helper()
	out := t.TempDir()
	var script strings.Builder
	script.WriteString("set -e\nmount --rbind /proc \"$1/real\"\nmount --bind \"$1/sys\" /sys\nmount --bind \"$1/proc\" /proc\ncd \"$2\"\nset +e\n")
	for i, argv := range lines {
		fmt.Fprintf(&script, "%s%s >%s/%d.out 2>%s/%d.err </dev/null; echo $? >%s/%d.code\n", quote(p.argv), quote(argv), out, i, out, i, out, i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "setpriv", "--bounding-set", "-sys_boot,-net_admin", "unshare", "-m", "-n", "sh", "-s", "--", machine, files)
	cmd.Stdin = strings.NewReader(script.String())
	cmd.Env = []string{"PATH=" + p.path + os.Getenv("PATH"), "LC_ALL=C"}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run %d command lines: %v\n%s", len(lines), err, said)
	}
	read := func(i int, what string) string {
		b, err := os.ReadFile(filepath.Join(out, strconv.Itoa(i)+what))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	outcomes := make([]outcome, len(lines))
	for i := range lines {
		code, err := strconv.Atoi(strings.TrimSpace(read(i, ".code")))
		if err != nil {
			t.Fatal(err)
		}
		outcomes[i] = outcome{code, read(i, ".out"), read(i, ".err")}
	}
	return outcomes
}

// words are what scripts and users look for on stderr. A line that has one of them
// must be the same, whole.
var words = []string{
	"kexec: ", "Memory for crashkernel is not reserved", "Please specify ", "--load-live-update can only", "--exec-live-update only", "does not exist, the kernel needs",
	"Bad serial port", "Bad option value", "not supported with kexec_file_load", "unrecoverable error", "--reuseinitrd not implemented", "No kernel specified",
	"Failed to open file", "Cannot open `", "Could not open initrd file", "Cannot determine the file type", "Unsupported kernel type", "Wrong file type", "locate_hole failed",
	"Cannot load", "kexec_load failed", "kexec_file_load failed", "kexec unload failed", "kexec_file_load(unload) failed", "syscall kexec_file_load not available",
	"Nothing has been loaded", "kexec failed",
}

// decision is what is compared: exit code, what is on stdout, and the words.
func (o outcome) decision() string {
	kind := "nothing"
	switch {
	case strings.Contains(o.stdout, "Usage: kexec"):
		kind = "usage"
	case strings.HasPrefix(o.stdout, "kexec-tools "):
		kind = "version"
	case regexp.MustCompile(`^\d+\n$`).MatchString(o.stdout):
		kind = o.stdout
	}
	var said []string
	for line := range strings.Lines(o.stderr) {
		line = strings.TrimSpace(line)
		for _, w := range words {
			if strings.Contains(line, w) && !strings.HasPrefix(line, "hint: ") && !ownNote.MatchString(line) {
				said = append(said, line)
				break
			}
		}
	}
	slices.Sort(said)
	return fmt.Sprintf("exit code %d, stdout %q, stderr %q", o.code, kind, slices.Compact(said))
}

// ownNote are lines of either program that are for people: gokexec's notes, and
// what kexec-tools' loaders say of options that are another loader's.
var ownNote = regexp.MustCompile(`^kexec: (warning: |[^u]|unrecognized option '--(args|module|dtb|real|entry|noefi)[^ ]*'$)`)

// shownCmdline is how the two show a crash kernel's command line with -d; kexec-tools
// has added to it.
var shownCmdline = regexp.MustCompile(`(?m)^(?:cmdline  (.*)|Command line after adding elfcorehdr\n(.*?) elfcorehdr=\d+K)$`)

// cmdline is the crash kernel's command line, in the marks of a list; "" if none is
// shown.
func (o outcome) cmdline() string {
	f := shownCmdline.FindStringSubmatch(o.stderr)
	if f == nil {
		return ""
	}
	return fmt.Sprint(strings.Fields(f[1] + f[2])) // where kexec-tools drops a word, two blanks are left
}

// machines have, apart from what is made up, a process's own handles: gokexec hands
// an unpacked kernel to the system call by one.
func machines(t *testing.T) map[string]*testMachine {
	t.Helper()
	invent := func(t *testing.T, seed uint64) *testMachine {
		m := invent(t, seed)
		if err := errors.Join(os.Mkdir(filepath.Join(m.Dir, "real"), 0o755), os.Symlink(filepath.Join(m.Dir, "real/self/fd"), filepath.Join(m.Dir, "proc/self/fd"))); err != nil {
			t.Fatal(err)
		}
		return m
	}
	armed := invent(t, 1)
	armed.Write("sys/kernel/crash_elfcorehdr_size", "65536\n")
	bare := invent(t, 2)
	bare.Write("proc/iomem", "00001000-0009efff : System RAM\n00100000-3ffdefff : System RAM\n  01000000-01ffffff : Kernel code\n")
	bare.Write("sys/kernel/kexec_loaded", "1\n")
	loaded := invent(t, 3)
	loaded.Write("sys/kernel/kexec_crash_loaded", "1\n")
	loaded.Write("proc/cmdline", "BOOT_IMAGE=/v root=/dev/vda1 crashkernel=128M retain_initrd quiet\n")
	hidden := invent(t, 4)
	hidden.Write("proc/iomem", regexp.MustCompile(`(?m)^( *)[0-9a-f]+-[0-9a-f]+ `).ReplaceAllString(hidden.text, "${1}00000000-00000000 "))
	return map[string]*testMachine{"addresses hidden": hidden, "armed": armed, "without crash memory": bare, "crash kernel loaded": loaded}
}

// gokexec and kexec-tools take every command line alike: the same exit code, the
// same stream, the same words, and for a crash kernel the same command line, but for
// expectedDifferences.
func TestVMCommandLines(t *testing.T) {
	kexecTools(t) // whether they can be run at all
	files, all := imageFiles(t), programs(t)
	count, cmdlines, differing := 0, 0, map[string]int{}
	seed := uint64(0)
	for name, m := range machines(t) {
		seed++
		var lines [][]string
		for _, line := range append(slices.Clone(edgeLines), madeUp(seed, commandLines)...) {
			lines = append(lines, split(line))
		}
		ours := all[0].runAll(t, m.Dir, files, lines)
		for _, p := range all[1:] {
			var theirLines [][]string
			for _, argv := range lines {
				theirLines = append(theirLines, releaseDefault(p.release, argv))
			}
			theirs := p.runAll(t, m.Dir, files, theirLines)
			for i, argv := range lines {
				if !sameOptions(t, p.release, argv) {
					continue
				}
				count++
				if mine, its := ours[i].cmdline(), theirs[i].cmdline(); its != "" && mine != its {
					t.Errorf("%s: kexec%s: the kernel's command line is %q; by %s %q", name, quote(argv), mine, p.release, its)
				} else if its != "" {
					cmdlines++
				}
				if ours[i].decision() == theirs[i].decision() {
					continue
				}
				if why := expected(p.release, argv, ours[i], theirs[i]); why != "" {
					differing[why]++
					continue
				}
				t.Errorf("%s: kexec%s\ngokexec: %s\n%s: %s\ngokexec says %s\nit says %s", name, quote(argv), ours[i].decision(), p.release, theirs[i].decision(),
					ours[i].stderr, theirs[i].stderr)
			}
		}
	}
	t.Logf("%d command lines compared, and %d that a crash kernel gets", count, cmdlines)
	if cmdlines == 0 {
		t.Error("no command line of a crash kernel was compared")
	}
	for why, n := range differing {
		t.Logf("%4d differ on purpose: %s", n, why)
	}
}
