package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// dumpLines are tried in addition to invented ones. V is a dump, C the same compressed, A and B the same split, I its
// VMCOREINFO, I2 that of another kernel. "< F" gives a flattened dump to the standard input.
var dumpLines = []string{
	"", "-h", "--help", "-v", "--bogus", "-?", "-d", "-d 31", "V", "V out", "V out out2", "-d 31 V out", "V -d 31 out -c", "-cd 31 V out", "-d31 -l V out", "-z -d 31 V out", "-E -d 31 V out", "-E V out",
	"-F V", "-F -d 31 -c V", "-F -E -d 31 V", "-F V out", "-F -z -d 31 --message-level 6 V", "-F -c -d 31 --message-level 7 V",
	"-d 32 V out", "-d -1 V out", "-d x V out", "-d 31x V out", "-d , V out", "-d 1,31 V out", "-d 1,32 V out", "-d 0x1f V out",
	"--message-level 0 -d 31 V out", "--message-level 2 V out", "--message-level 4 V out", "--message-level 31 -d 31 V out", "--message-level 32 V out", "--message-level -1 V out", "--message-level x V out",
	"--show-stats -d 31 V out", "--show-stats -E -d 31 V out", "--show-stats -d 9 -c V out", "--show-stats V out", "--show-stats -d 8 V out", "-D V out", "-D -v", "--message-level 4 -v", "--message-level 0 --bogus",
	"missing out", "text out", "-d 31 missing out", "V exists", "-f V exists", "-f -d 31 -c V exists", "V nosuchdir/out", "-d 31 V .", "-F text", "empty out",
	"--split V out out2", "--split -d 31 -c V out out2 out3", "--split V out", "--split -E V out out2", "--split -F V", "--split V out exists", "--split -f -z V out exists",
	"--num-threads 1 -c -d 31 V out", "--num-threads 2 --split V out out2", "--num-threads 2 -E V out", "--num-threads 1 -F -c V", "--num-threads 0 -E V out", "--num-threads x V out",
	"--reassemble A B out", "--reassemble B A out", "--reassemble A out", "--reassemble A B exists", "-f --reassemble A B exists", "--reassemble -c A B out", "--reassemble -F A B out", "--reassemble V A out", "--reassemble --dry-run A B out",
	"-R out < F", "-R out < V", "-R < F", "-R exists < F", "-f -R exists < F", "-R -c out < F", "-R -d 1 out < F", "-R -d 0 out < F", "-R -F out < F", "-R out < FE",
	"--dump-dmesg V out", "-F --dump-dmesg V", "-F --message-level 4 --dump-dmesg V", "--dump-dmesg C out", "--dump-dmesg V exists", "-f --dump-dmesg V exists", "--dump-dmesg text out", "--dump-dmesg missing out", "--dump-dmesg --partial-dmesg V out",
	"--partial-dmesg V out", "--dump-dmesg --dry-run V out", "--dump-dmesg V", "--dump-dmesg -d 31 V out", "--dump-dmesg -i I V out",
	"--mem-usage", "--mem-usage V V V", "--mem-usage --check-params V",
	"--check-params -c -d 31 V out", "--check-params -l --message-level 7 -d 31 vmcore dumpfile", "--check-params -c -E V out", "--check-params V", "--check-params --bogus", "--check-params -d 40 V out", "--check-params --message-level 99 V out", "-d 1 --check-params -F V",
	"--check-params --dump-dmesg V exists", "--check-params -R", "--check-params -R out", "--check-params --reassemble A B out", "--check-params -D V out", "--check-params -h", "--check-params -v",
	"--dry-run -d 31 V out", "--dry-run -F V", "--dry-run --split V out out2", "--dry-run --show-stats -d 31 -c V out", "--dry-run V exists", "--dry-run missing out",
	"--cyclic-buffer 1 -d 31 V out", "--cyclic-buffer 1024 V out", "--non-mmap -d 31 V out", "--work-dir . -d 31 -c V out", "-b 0 V out", "-b 4 -d 31 V out", "--splitblock-size 1024 --split V out out2", "-e V out",
	"-L 100k V out", "-L 100k -d 31 V out", "-L 1 V out", "-L 0 V out", "-L 1x V out", "-L 100M V out", "-L 10k -E V out", "-L x V out",
	"--vtop 0xffffffff81000000 V out", "--vtop 0 V out", "--vtop=0xffffffff81000000 --message-level 0 V out",
	"-i I V out", "-i I -d 31 -c V out", "-i I2 -d 31 V out", "-i missing V out", "-i text V out", "-i I -R out", "-i I --reassemble A B out",
	"C out", "-d 31 C out", "-c -d 31 C out", "-z C out", "-d 31 -F -c C", "--split -d 31 C out out2", "A out",
	"--sp V out out2", "--s V out", "--dum V out", "--mess 4 V out", "--message-level=4 V out", "--num=1 V out", "--non V out", "-d 31 -- V out", "-- V out -d", "-c -l V out", "-l -c V out", "-cz V out", "-x", "-L", "--vtop", "--split=1 V out",
}

// distributionLines are those of the distributions' scripts.
var distributionLines = []string{
	// kdump-utils (Fedora, RHEL): kdump.sh, mkdumprd, kdumpctl
	"-l --message-level 7 -d 31 V out", "-l --message-level 7 -d 31 --num-threads=1 V out", "-F -l --message-level 7 -d 31 V", "-R out < F", "--check-params -l --message-level 7 -d 31 vmcore", "--check-params -l --message-level 7 -d 31 vmcore dumpfile", "--check-params -F -l -d 31 vmcore",
	// kdump-tools (Debian, Ubuntu): kdump-config
	"--dump-dmesg V out", "-F -c -d 31 V", "-c -d 31 V out",
	// kdump (SUSE): kdump-save
	"-F --message-level 8 --dump-dmesg V", "-F -c --message-level 6 -d 31 V", "-F -E --message-level 7 -d 31 V", "-F -l --num-threads 1 --message-level 6 -d 31 V", "-F -z --message-level 14 -d 31 V", "-F -d 31 V", "-F -p --message-level 6 -d 31 V",
	// Bottlerocket, SteamOS, EVE, OpenBMC, Delphix
	"--dump-dmesg --message-level 4 V out", "-c --message-level 4 -d 31 V out", "-z -d 31 V out", "-E -d 1 V out", "-c -d 31 --message-level 22 V out", "-c -d 31 --message-level 22 --private-page-filter 0x2F5ABDF11ECAC4E V out",
}

// dumpWords are put into invented lines.
var dumpWords = []string{
	"-c", "-l", "-z", "-E", "-F", "-f", "-d 31", "-d 0", "-d 1", "-d 8", "-d 16", "-d 24", "-d 25", "-d 0,31", "-d 33", "--message-level 0", "--message-level 2", "--message-level 4", "--message-level 6", "--message-level 7", "--message-level 23", "--show-stats",
	"--split", "--num-threads 1", "--cyclic-buffer 64", "--non-mmap", "--work-dir .", "-b 2", "--dry-run", "--check-params", "--vtop 0xffffffff81000000", "-i I", "-L 200k", "-L 10M", "--bogus", "-R", "--reassemble", "--dump-dmesg", "--partial-dmesg", "-v", "out", "out2",
}

// inventedDumpLines gives command lines by chance.
func inventedDumpLines(n int) []string {
	r := rand.New(rand.NewPCG(11, 7))
	var lines []string
	for range n {
		words := []string{[]string{"V", "V", "V", "V", "C", "missing", "text"}[r.IntN(7)], []string{"out", "out", "out", "exists", ""}[r.IntN(5)]}
		for range 1 + r.IntN(4) {
			word := dumpWords[r.IntN(len(dumpWords))]
			if r.IntN(5) == 0 {
				words = append(words, word) // after the operands
			} else {
				words = append([]string{word}, words...)
			}
		}
		lines = append(lines, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return lines
}

// knownLines are those on which gokexec does something else on purpose: makedumpfile(8) says what. The value is its
// exit code.
var knownLines = map[string]int{
	"-R out < empty": 1, "-R out < cut": 1, // makedumpfile never ends
	"--num-threads 2 -c -d 31 V out": 0, // and sometimes here
}

// dumpRun is what one of the programs did.
type dumpRun struct {
	result
	files map[string][]byte // that it made, by name
}

// dumpInputs makes the files that lines name.
func dumpInputs(t *testing.T, theirs []string) (string, *dumptest.Core) {
	t.Helper()
	dir := t.TempDir()
	core := linuxImage()
	var info []byte
	for _, n := range core.Notes {
		if n.Name == "VMCOREINFO" {
			info = n.Desc
		}
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("V", core.Bytes())
	write("I", info)
	write("I2", bytes.Replace(info, []byte("OSRELEASE=6.12.107"), []byte("OSRELEASE=6.1.0"), 1))
	write("text", bytes.Repeat([]byte("no dump at all\n"), 1000))
	write("empty", nil)
	write("exists", []byte("what was there before"))
	for _, line := range []string{"-c -d 1 V C", "--split -c -d 1 V A B"} {
		if out, err := theirCommand(t.Context(), theirs, dir, strings.Fields(line)).CombinedOutput(); err != nil {
			t.Fatalf("makedumpfile %s: %v\n%s", line, err, out)
		}
	}
	for name, line := range map[string]string{"F": "-F -c -d 31 V", "FE": "-F -E V"} {
		flat, err := theirCommand(t.Context(), theirs, dir, strings.Fields(line)).Output()
		if err != nil {
			t.Fatalf("makedumpfile %s: %v", line, err)
		}
		write(name, flat)
		write("cut", flat[:len(flat)/2])
	}
	return dir, core
}

func theirCommand(ctx context.Context, argv []string, dir string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], slices.Concat(argv[1:], args)...)
	cmd.Dir = dir
	return cmd
}

// run runs a program with the inputs in a directory of its own.
func runDumpLine(t *testing.T, argv []string, inputs, line string) dumpRun {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(inputs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "exists" { // may be written to
			if err := os.WriteFile(filepath.Join(dir, "exists"), []byte("what was there before"), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.Link(filepath.Join(inputs, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	line, stdin, _ := strings.Cut(line, " < ")
	cmd := theirCommand(ctx, argv, dir, strings.Fields(line))
	if len(argv) == 1 {
		cmd.Args[0] = "makedumpfile" // not through a dynamic linker
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	if stdin != "" {
		f, err := os.Open(filepath.Join(dir, stdin))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.Stdin = f
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	r := dumpRun{result: result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, files: map[string][]byte{}}
	for _, name := range []string{"out", "out2", "out3", "exists"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			r.files[name] = b
		}
	}
	return r
}

// Lines of the original that depend on how it was built or works inside.
var (
	theirLines = regexp.MustCompile(`(?m)^(The kernel version is not supported\.|The makedumpfile operation may be incomplete\.|STEP \[.*|Cache hit: .*|'-[pz]' option is disabled.*|Try .make USE.*|  (PGD|PUD|PMD|PTE) .*)\n`)
	elfNumbers = regexp.MustCompile(`(?m)^(     in ELF format|  \(The number of pages is reduced|Write bytes).*\n`)
	progress   = regexp.MustCompile(`\r[^\r\n]*|(?m:^(Checking|Excluding|Copying) .*$)`)
	callers    = regexp.MustCompile(`(?m)^(\[ *\d+\.\d+\] )\[ *[TC]\d+\] `) // since 1.7.3
	blankLines = regexp.MustCompile(`\n{2,}`)
	debugging  = regexp.MustCompile(`(^| )(-D|--message-level[ =](8|9|[123]\d))( |$)`)
)

// said is the text without what differs on purpose.
func said(text string) string {
	text = strings.NewReplacer(").The kernel", ").\nThe kernel", ").'", ").\n'", ").STEP", ").\nSTEP").Replace(text) // 1.7.2
	text = theirLines.ReplaceAllString(text, "")
	if strings.Contains(text, "in ELF format") { // short holes are not worth it to the original
		text = elfNumbers.ReplaceAllString(text, "")
	}
	text = regexp.MustCompile(`Write bytes .*\n`).ReplaceAllString(text, "")
	return blankLines.ReplaceAllString(progress.ReplaceAllString(text, ""), "\n")
}

// compareRuns holds what gokexec did against what the original did.
func compareRuns(t *testing.T, line string, ours, theirs dumpRun, core *dumptest.Core) {
	t.Helper()
	report := func(format string, args ...any) {
		t.Helper()
		t.Errorf("makedumpfile %s: %s\nours:   %d %q %q\ntheirs: %d %q %q", line, fmt.Sprintf(format, args...), ours.code, short(ours.stdout), short(ours.stderr), theirs.code, short(theirs.stdout), short(theirs.stderr))
	}
	if ours.code != theirs.code {
		report("exit code %d; want %d", ours.code, theirs.code)
		return
	}
	flat := strings.HasPrefix(theirs.stdout, "makedumpfile\x00")
	usage := strings.Contains(theirs.stdout, "Available options:") || strings.Contains(theirs.stdout, "makedumpfile: version") || debugging.MatchString(line)
	switch {
	case flat && theirs.code == 0:
		compareDumps(t, line, [][]byte{[]byte(ours.stdout)}, [][]byte{[]byte(theirs.stdout)}, core)
	case usage:
		if (ours.stdout == "") != (theirs.stdout == "") {
			report("standard output")
		}
	case sameLog(said(ours.stdout), said(theirs.stdout)):
	default:
		report("standard output %q; want %q", said(ours.stdout), said(theirs.stdout))
	}
	if ours.errs() != theirs.errs() && !usage {
		report("standard error %q; want %q", ours.errs(), theirs.errs())
	}
	if strings.Contains(ours.stderr, "\r") != strings.Contains(theirs.stderr, "\r") {
		report("progress is shown by one of them only")
	}
	for name, b := range theirs.files {
		if _, ok := ours.files[name]; !ok {
			report("there is no file %s", name)
			return
		}
		if name == "exists" && string(b) == "what was there before" && !bytes.Equal(ours.files[name], b) {
			report("%s was overwritten", name)
		}
	}
	for name := range ours.files {
		if _, ok := theirs.files[name]; !ok {
			report("there is a file %s", name)
		}
	}
	if theirs.code != 0 {
		return
	}
	if strings.Contains(theirs.stdout+theirs.stderr, "The dmesg log") || slices.ContainsFunc(strings.Fields(line), func(w string) bool { return strings.HasPrefix(w, "--dum") }) {
		for name, b := range theirs.files {
			if !sameLog(string(ours.files[name]), string(b)) {
				report("the log in %s differs", name)
			}
		}
		return
	}
	var made, want [][]byte
	for _, name := range []string{"out", "out2", "out3", "exists"} {
		if b, ok := theirs.files[name]; ok && string(b) != "what was there before" {
			made, want = append(made, ours.files[name]), append(want, b)
		}
	}
	if len(want) > 0 {
		compareDumps(t, line, made, want, core)
	}
}

// sameLog tells that logs are the same, or that one is of a makedumpfile that doesn't print callers.
func sameLog(ours, theirs string) bool {
	return ours == theirs || callers.ReplaceAllString(ours, "$1") == theirs
}

// errs is what a run says on standard error as far as it is compared: which lines of getopt, and whether there
// are errors.
func (r *dumpRun) errs() string {
	text := said(r.stderr)
	var kept []string
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		switch {
		case l == "":
		case strings.HasPrefix(l, "makedumpfile: "), strings.HasPrefix(l, "check_dump_file: "), strings.HasPrefix(l, "open_dump_file: "), strings.HasPrefix(l, "open_dump_memory: "), strings.HasPrefix(l, "__read_disk_dump_header: Can't open"), !strings.Contains(l, ": ") && r.code == 0:
			kept = append(kept, l)
		case len(kept) == 0 || kept[len(kept)-1] != "an error":
			kept = append(kept, "an error")
		}
	}
	return strings.Join(kept, "\n")
}

func short(s string) string {
	s = progress.ReplaceAllString(s, "")
	return s[:min(len(s), 600)]
}

// compareDumps holds each page of two dumps against each other.
func compareDumps(t *testing.T, line string, ours, theirs [][]byte, core *dumptest.Core) {
	t.Helper()
	a, err := tryOpenDump(ours...)
	if err != nil {
		t.Errorf("makedumpfile %s: our dump can't be opened: %v", line, err)
		return
	}
	b := openDump(t, theirs...)
	if fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) || a.Incomplete() != b.Incomplete() {
		t.Errorf("makedumpfile %s: ours is a %T, incomplete %v; theirs a %T, %v", line, a, a.Incomplete(), b, b.Incomplete())
		return
	}
	if c, ok := a.(*kdumpfile.Compressed); ok {
		d := b.(*kdumpfile.Compressed)
		if c.Header.DumpLevel != d.Header.DumpLevel || c.Header.BlockSize != d.Header.BlockSize || c.Header.Uname != d.Header.Uname || c.Header.Codec() != d.Header.Codec() && d.Header.Codec() != kdumpfile.CodecNone {
			t.Errorf("makedumpfile %s: our header is %+v; theirs %+v", line, c.Header, d.Header)
		}
		if c.Header.Pages != d.Header.Pages {
			t.Errorf("makedumpfile %s: our dump ends at page %#x, theirs at %#x", line, c.Header.Pages, d.Header.Pages)
		}
	}
	got, want := make([]byte, 4096), make([]byte, 4096)
	for _, l := range core.Loads {
		for at := 0; at+4096 <= len(l.Data); at += 4096 {
			phys := memmap.PhysAddr(l.Phys + uint64(at))
			_, err1 := a.ReadPhysAt(got, phys)
			_, err2 := b.ReadPhysAt(want, phys)
			if _, isELF := a.(*kdumpfile.ELF); isELF && err1 == nil && err2 == nil && bytes.Equal(got, make([]byte, 4096)) {
				continue // a hole that is too short for the original
			}
			if (err1 == nil) != (err2 == nil) || errors.Is(err1, kdumpfile.ErrExcluded) != errors.Is(err2, kdumpfile.ErrExcluded) || err1 == nil && !bytes.Equal(got, want) {
				t.Errorf("makedumpfile %s: page %v: ours %v, theirs %v, equal %v", line, phys, err1, err2, bytes.Equal(got, want))
				return
			}
		}
	}
}

// makedumpfiles are the programs to compare with: the one that is installed, and Debian's newest.
func makedumpfiles(t *testing.T) map[string][]string {
	t.Helper()
	if testing.Short() {
		t.Skip("makedumpfile comes from Debian's archive: skipped by -short")
	}
	pkg := vmlab.GetTestPackage(t, "sid", "makedumpfile")
	program, err := pkg.HostProgram("usr/bin/makedumpfile")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{pkg.Version: program.Argv}
	if path, err := exec.LookPath("makedumpfile"); err == nil {
		all["the installed one"] = []string{path}
	}
	return all
}

// Hundreds of command lines end with the same exit code, the same messages and the same pages in the same files.
func TestMakedumpfileCommandLines(t *testing.T) {
	ours := vmlab.BuildTest(t, "./cmd/gokexec", "amd64")
	for version, theirs := range makedumpfiles(t) {
		t.Run(version, func(t *testing.T) {
			inputs, core := dumpInputs(t, theirs)
			lines := slices.Concat(distributionLines, dumpLines, inventedDumpLines(250))
			for line, code := range knownLines {
				if a := runDumpLine(t, []string{ours}, inputs, line); a.code != code {
					t.Errorf("makedumpfile %s = %d, %q, %q; want exit code %d", line, a.code, a.stdout, a.stderr, code)
				}
			}
			for _, line := range lines {
				if words := strings.Fields(line); slices.Contains(words, "-E") && slices.Contains(words, "C") {
					continue // we write an ELF core of a compressed dump
				}
				if strings.Contains(line, "--dry-run") && strings.Contains(line, "-L ") {
					continue // of which nothing can be analysed
				}
				a, b := runDumpLine(t, []string{ours}, inputs, line), runDumpLine(t, theirs, inputs, line)
				if b.code < 0 {
					t.Logf("makedumpfile %s: that of %s does not end", line, version)
					continue
				}
				compareRuns(t, line, a, b, core)
			}
			// SUSE's kdump-save takes these out of the messages.
			suse := runDumpLine(t, []string{ours}, inputs, "-F --message-level 8 --dump-dmesg V")
			if !strings.Contains(suse.stderr, "\n  OSRELEASE=6.12.107\n") {
				t.Errorf("standard error of --message-level 8 is %.300q; want OSRELEASE in it", suse.stderr)
			}
			t.Logf("%d command lines", len(lines))
		})
	}
}
