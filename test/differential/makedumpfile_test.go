package differential

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Page frames of the memory next to the kernel.
const userPages, freePages, endPages = 0x3400, 0x3500, 0x3600

// linuxImage is the dump of an x86_64 kernel that makedumpfile takes for real, with some user
// memory and some free memory.
func linuxImage() *dumptest.Core {
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.107")
	m.AddLinux("6.12.107", endPages, func(pfn uint64) int {
		switch {
		case pfn >= freePages && pfn%2 == 1:
			return dumptest.PageFree
		case pfn >= userPages && pfn%4 == 3:
			return dumptest.PageUser
		}
		return dumptest.PageKernel
	})
	r := dumptest.NewRing(m, dumptest.RingConfig{CountBits: 8, SizeBits: 14})
	for i := range 400 {
		r.Add(dumptest.Entry{Time: uint64(i) * 1e6, Text: fmt.Appendf(nil, "record %d of the log %s", i, strings.Repeat("-", i%60))}, dumptest.Finalized)
	}
	r.Store()
	m.Alloc(4096, 4096) // makedumpfile leaves out the last page when only a part of it is there
	c := m.Core()
	data := make([]byte, (endPages-userPages)*4096)
	for i := range data {
		if page := i >> 12; page%5 != 0 { // some pages are zero
			data[i] = byte(i*i>>(page%7) ^ page)
		}
	}
	c.Loads = append(c.Loads, dumptest.Load{Phys: userPages << 12, Virt: 0xffff888000000000 + userPages<<12, Data: data})
	return c
}

// runMakedumpfile runs makedumpfile, with its output to a file for -F, and returns the files it made.
func runMakedumpfile(t *testing.T, program string, args []string, core string, outputs ...string) [][]byte {
	t.Helper()
	dir := t.TempDir()
	argv := slices.Concat(args, []string{core})
	flat := strings.HasPrefix(args[0], "-F")
	for i := range outputs {
		outputs[i] = filepath.Join(dir, outputs[i])
		if !flat {
			argv = append(argv, outputs[i])
		}
	}
	cmd := exec.Command(program, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, &stdout, &stderr)
	}
	if flat {
		return [][]byte{stdout.Bytes()}
	}
	var files [][]byte
	for _, name := range outputs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}

// openDump opens a dump from its files.
func openDump(t *testing.T, files ...[]byte) kdumpfile.Dump {
	t.Helper()
	d, err := tryOpenDump(files...)
	if err != nil {
		t.Fatalf("kdumpfile.Open() = %v", err)
	}
	return d
}

func tryOpenDump(files ...[]byte) (kdumpfile.Dump, error) {
	var readers []kdumpfile.File
	for _, b := range files {
		readers = append(readers, bytes.NewReader(b))
	}
	return kdumpfile.Open(readers...)
}

// checkPages holds each page of the machine against the dump. In an ELF dump what is left out reads as zeroes, and
// short stretches are not left out at all.
func checkPages(t *testing.T, d kdumpfile.Dump, c *dumptest.Core, excluded func(pfn uint64) bool) {
	t.Helper()
	_, isELF := d.(*kdumpfile.ELF)
	got, zero := make([]byte, 4096), make([]byte, 4096)
	for _, l := range c.Loads {
		for at := 0; at < len(l.Data); at += len(got) {
			phys := l.Phys + uint64(at)
			n, err := d.ReadPhysAt(got, memmap.PhysAddr(phys))
			if isELF && excluded(phys>>12) && err == nil && bytes.Equal(got, zero) {
				continue
			}
			if !isELF && excluded(phys>>12) {
				if !errors.Is(err, kdumpfile.ErrExcluded) {
					t.Fatalf("ReadPhysAt(%#x) = %d, %v; want ErrExcluded", phys, n, err)
				}
			} else if err != nil || !bytes.Equal(got, l.Data[at:at+len(got)]) {
				t.Fatalf("ReadPhysAt(%#x) = %d, %v, equal %v", phys, n, err, bytes.Equal(got, l.Data[at:at+len(got)]))
			}
		}
	}
}

// What the real makedumpfile makes of a dump is read: every page it is to keep is the same, those
// it is to leave out are left out, and the log is the one that makedumpfile itself finds.
func TestMakedumpfile(t *testing.T) {
	path, err := exec.LookPath("makedumpfile")
	if err != nil {
		skip(t, err.Error())
	}
	core := linuxImage()
	name := writeFile(t, core.Bytes())
	command := func(args ...string) *exec.Cmd { return exec.Command(path, args...) }
	wantLog := string(runMakedumpfile(t, path, []string{"--dump-dmesg"}, name, "log")[0])
	if got := dumptest.LogText(t, openDump(t, core.Bytes())); got != wantLog {
		t.Fatalf("the log of the ELF dump differs from makedumpfile's:\n%.300s\n%.300s", got, wantLog)
	}
	features, _ := command("-v").CombinedOutput()
	lacks := func(codec string) bool { return strings.Contains(string(features), codec+"\tdisabled") }
	data := core.Loads[1].Phys >> 12
	for _, args := range [][]string{
		{"-c", "-d", "0"}, {"-l", "-d", "0"}, {"-p", "-d", "0"}, {"-z", "-d", "0"}, {"-d", "0"}, {"-E", "-d", "0"},
		{"-c", "-d", "1"}, {"-l", "-d", "31"}, {"-c", "-d", "31"}, {"-z", "-d", "31"}, {"-E", "-d", "31"},
		{"-F", "-c", "-d", "31"}, {"-F", "-l", "-d", "0"}, {"-F", "-E", "-d", "31"}, {"-F", "-E", "-d", "0"}, {"--split", "-c", "-d", "31"}, {"--split", "-l", "-d", "0"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if args[0] == "-p" && lacks("snappy") || args[0] == "-z" && lacks("zstd") {
				t.Skip("this makedumpfile is built without the codec")
			}
			outputs := []string{"dump"}
			if args[0] == "--split" {
				outputs = []string{"dump1", "dump2", "dump3", "dump4"}
			}
			files := runMakedumpfile(t, path, args, name, outputs...)
			d := openDump(t, files...)
			if d.Incomplete() || len(d.Damage()) != 0 {
				t.Errorf("Incomplete() = %v, Damage() = %v", d.Incomplete(), d.Damage())
			}
			if got := dumptest.LogText(t, d); got != wantLog {
				t.Errorf("the log differs from makedumpfile's:\n%.300s\n%.300s", got, wantLog)
			}
			filtered := func(pfn uint64) bool {
				return args[len(args)-1] == "31" && pfn >= data && (pfn >= freePages && pfn%2 == 1 || pfn%4 == 3)
			}
			checkPages(t, d, core, filtered)
			switch args[0] {
			case "--split":
				if _, err := tryOpenDump(files[1:]...); !errors.Is(err, kdumpfile.ErrSplit) {
					t.Errorf("Open(without the first part) = %v; want ErrSplit", err)
				}
			case "-F":
				checkReordered(t, command, files[0])
			}
			if c, ok := d.(*kdumpfile.Compressed); ok && (c.Header.Version != 6 || c.Header.Uname.Machine != "x86_64" || c.Header.Uname.Release != "6.12.107") {
				t.Errorf("Header = %+v", c.Header)
			}
		})
	}
}

// checkReordered holds the index of a stream against what makedumpfile -R makes of it.
func checkReordered(t *testing.T, command func(...string) *exec.Cmd, stream []byte) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "ordered")
	cmd := command("-R", out)
	cmd.Stdin = bytes.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	ordered, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	flat, err := kdumpfile.NewFlattened(bytes.NewReader(stream), int64(len(stream)))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, flat.Size())
	if n, err := flat.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, ordered) {
		t.Errorf("Flattened has %d bytes, %v; makedumpfile -R makes %d, equal %v", n, err, len(ordered), bytes.Equal(got, ordered))
	}
}
