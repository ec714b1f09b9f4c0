package differential

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/vmlab"
)

// result is what a program did.
type result struct {
	code           int
	stdout, stderr string
}

func runProgram(t *testing.T, program string, argv []string, stdout *os.File) result {
	t.Helper()
	cmd := &exec.Cmd{Path: program, Args: argv}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if stdout != nil {
		cmd.Stdout = stdout
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// dmesgPrograms are vmcore-dmesg of both kexec-tools and, first, gokexec called by that name.
type dmesgPrograms struct {
	ours   string
	theirs map[string][]string
}

func newDmesgPrograms(t *testing.T) *dmesgPrograms {
	t.Helper()
	if testing.Short() {
		t.Skip("kexec-tools comes from Debian's archive: skipped by -short")
	}
	p := &dmesgPrograms{ours: vmlab.BuildTest(t, "./cmd/gokexec", "amd64"), theirs: map[string][]string{}}
	for _, suite := range []string{"bookworm", "sid"} {
		pkg := vmlab.GetTestPackage(t, suite, "kexec-tools")
		program, err := pkg.HostProgram("usr/sbin/vmcore-dmesg")
		if err != nil {
			t.Fatal(err)
		}
		p.theirs[pkg.Version] = program.Argv
	}
	return p
}

// run runs ours and each of theirs with the same arguments.
func (p *dmesgPrograms) run(t *testing.T, stdout *os.File, args ...string) (ours result, theirs map[string]result) {
	t.Helper()
	ours = runProgram(t, p.ours, append([]string{"vmcore-dmesg"}, args...), stdout)
	theirs = map[string]result{}
	for version, argv := range p.theirs {
		theirs[version] = runProgram(t, argv[0], append(append([]string{}, argv...), args...), stdout)
	}
	return ours, theirs
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// allBytes is a text with each byte but 0 in it.
func allBytes() []byte {
	b := make([]byte, 255)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

func message(i, n int) dumptest.Entry {
	text := fmt.Appendf(nil, "%d ", i)
	for len(text) < n {
		text = append(text, byte('a'+len(text)%26))
	}
	return dumptest.Entry{Time: uint64(i) * 123456789, Text: text[:n], Level: uint8(i % 8), Caller: uint32(i)}
}

// ringLog has records in every state, also such as found no room.
func ringLog(a dumptest.Arch, start uint64, context bool) *dumptest.Core {
	m := dumptest.NewImage(a, "6.12.0")
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 6, SizeBits: 11, Start: start, ExecutionContext: context})
	for i := range 70 {
		r.Add(message(i, i*5%200), dumptest.Finalized)
	}
	r.Add(dumptest.Entry{Text: allBytes(), Time: 1 << 60}, dumptest.Finalized)
	r.Add(message(71, 20), dumptest.Reserved)
	for i := range 40 {
		r.Add(message(i, 100), dumptest.Finalized)
	}
	r.Add(message(200, 100), dumptest.Committed)
	r.Store()
	return m.Core()
}

func recordLog(a dumptest.Arch, caller, oldName bool) (*dumptest.Core, *dumptest.RecordLog) {
	m := dumptest.NewImage(a, "4.18.0")
	l := dumptest.NewRecordLog(m, 4096, caller, oldName)
	for i := range 200 {
		e := message(i+1, 1+i*5%120)
		e.Text[0] = byte(i)
		l.Add(e, i%9)
	}
	l.Store()
	return m.Core(), l
}

func byteLog(a dumptest.Arch) *dumptest.Core {
	m := dumptest.NewImage(a, "2.6.32")
	dumptest.ByteRing(m, 1024, 700, bytes.Repeat([]byte("<6>[    1.000000] line \x1b\xff\n"), 100))
	return m.Core()
}

// Of each kind of log, of each kind of machine, vmcore-dmesg prints the same text.
func TestVmcoreDmesgText(t *testing.T) {
	p := newDmesgPrograms(t)
	check := func(name string, c *dumptest.Core, fix func(string) string) {
		t.Helper()
		ours, theirs := p.run(t, nil, writeFile(t, c.Bytes()))
		for version, r := range theirs {
			if ours.code != r.code || r.code != 0 || ours.stdout != fix(r.stdout) || ours.stderr != r.stderr {
				t.Errorf("%s: exit code %d, stderr %q; that of %s %d, %q\n%q\n%q", name, ours.code, ours.stderr, version, r.code, r.stderr, ours.stdout, r.stdout)
			}
		}
	}
	same := func(s string) string { return s }
	for _, a := range dumptest.Archs {
		for _, start := range []uint64{0, 500} {
			check(fmt.Sprint(a.Name, " ring from ", start), ringLog(a, start, start > 0), same)
		}
		for i := range 4 {
			c, _ := recordLog(a, i&1 != 0, i&2 != 0)
			// Theirs takes the marker at the end of the buffer for a record.
			check(a.Name+" records", c, func(s string) string { return strings.Replace(s, "[    0.000000] \n", "", 1) })
		}
		check(a.Name+" bytes", byteLog(a), same)
	}
}

// Whatever is wrong, the exit code is the same, the output as far as there is any, and something is said
// on standard error.
func TestVmcoreDmesgErrors(t *testing.T) {
	p := newDmesgPrograms(t)
	x86, i386 := dumptest.Archs[0], dumptest.Archs[2]
	good := ringLog(x86, 0, false).Bytes()
	good32 := ringLog(i386, 0, false).Bytes()
	change := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	records, model := recordLog(x86, false, false)
	buf, first, _ := model.Buf()
	badLength := records.Bytes()
	if at := bytes.Index(badLength, buf); at < 0 {
		t.Fatal("no log buffer in the dump")
	} else {
		badLength = change(badLength, at+first+8, 0xff, 0xff)
	}
	cases := map[string][]byte{
		"empty": {}, "15 bytes": good[:15], "text": []byte("this is no dump, but some text\n"),
		"bad e_ident version": change(good, 6, 2), "class 0": change(good, 4, 0), "class 3": change(good, 4, 3), "data 0": change(good, 5, 0), "data 3": change(good, 5, 3),
		"cut in the header": good[:40], "cut in the 32-bit header": good32[:40], "header version 0": change(good, 20, 0), "32-bit header version 9": change(good32, 20, 9),
		"phentsize": change(good, 54, 57), "32-bit phentsize": change(good32, 42, 56), "cut in the program headers": good[:100], "cut in the 32-bit program headers": good32[:60],
		"no program headers": change(good, 56, 0, 0), "cut in the notes": good[:300],
		"records of a bad length": badLength, "cut in the log": good[:len(good)-3000], "cut in the records": records.Bytes()[:len(records.Bytes())-3000],
	}
	cut := byteLog(x86).Bytes()
	cases["cut in the byte ring"] = cut[:len(cut)-700]
	without := func(c *dumptest.Core, line string) []byte {
		for i := range c.Notes {
			if c.Notes[i].Name == "VMCOREINFO" {
				c.Notes[i].Desc = regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(line)+`=.*\n`).ReplaceAll(c.Notes[i].Desc, nil)
			}
		}
		return c.Bytes()
	}
	for _, line := range []string{"SYMBOL(log_buf)", "SYMBOL(log_buf_len)", "SYMBOL(log_first_idx)", "SYMBOL(log_next_idx)", "SIZE(printk_log)",
		"OFFSET(printk_log.ts_nsec)", "OFFSET(printk_log.len)", "OFFSET(printk_log.text_len)"} {
		c, _ := recordLog(x86, false, false)
		cases["records without "+line] = without(c, line)
	}
	for _, line := range []string{"SYMBOL(log_buf)", "SYMBOL(log_end)", "SYMBOL(log_buf_len)"} {
		cases["bytes without "+line] = without(byteLog(x86), line)
	}
	noInfo := ringLog(x86, 0, false)
	noInfo.Notes = noInfo.Notes[:1]
	cases["no VMCOREINFO"] = noInfo.Bytes()
	elsewhere := ringLog(x86, 0, false)
	elsewhere.Notes[1].Desc = regexp.MustCompile(`SYMBOL\(prb\)=\w+`).ReplaceAll(elsewhere.Notes[1].Desc, []byte("SYMBOL(prb)=ffffffff00001000"))
	cases["prb is not in the dump"] = elsewhere.Bytes()

	compare := func(name string, stdout *os.File, args ...string) {
		t.Helper()
		ours, theirs := p.run(t, stdout, args...)
		for version, r := range theirs {
			// A corrupt record is printed by theirs before it is seen to be corrupt.
			prefix := name == "records of a bad length" || strings.HasPrefix(ours.stdout, r.stdout)
			if ours.code != r.code || r.code == 0 || !prefix || (ours.stderr == "") != (r.stderr == "") {
				t.Errorf("%s: exit code %d, stderr %q, %d bytes of text; that of %s %d, %q, %d bytes", name,
					ours.code, ours.stderr, len(ours.stdout), version, r.code, r.stderr, len(r.stdout))
			}
		}
	}
	for name, b := range cases {
		compare(name, nil, writeFile(t, b))
	}
	dir := t.TempDir()
	compare("no argument", nil)
	compare("two arguments", nil, writeFile(t, good), writeFile(t, good))
	compare("no file", nil, filepath.Join(dir, "none"))
	compare("an option", nil, "--help")
	compare("a directory", nil, dir)
	compare("a link to itself", nil, func() string {
		link := filepath.Join(dir, "link")
		if err := os.Symlink("link", link); err != nil {
			t.Fatal(err)
		}
		return link
	}())
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	compare("no room for the output", full, writeFile(t, good))

	// Theirs reads ELF files that are no core files at all.
	if ours, _ := p.run(t, nil, writeFile(t, change(good, 16, 2))); ours.code != 50 || ours.stdout != "" {
		t.Errorf("an executable: exit code %d, stdout %q", ours.code, ours.stdout)
	}

	// The words of what is most common are the same.
	for _, args := range [][]string{{filepath.Join(dir, "none")}, {writeFile(t, change(good, 4, 7))}, {writeFile(t, change(good, 54, 57))}, {dir}} {
		ours, theirs := p.run(t, nil, args...)
		for version, r := range theirs {
			if ours.stderr != r.stderr {
				t.Errorf("vmcore-dmesg %v says %q; that of %s %q", args, ours.stderr, version, r.stderr)
			}
		}
	}
}
