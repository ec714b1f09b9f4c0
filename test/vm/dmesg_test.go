package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// checkVmcoreDmesg holds gokexec, called as vmcore-dmesg, against the original of
// both kexec-tools, byte for byte, on an ELF dump; and against itself on what makedumpfile
// makes of that dump.
func (d *savedDump) checkVmcoreDmesg(t *testing.T, elf string, nonce *vmlab.Nonce) {
	t.Helper()
	ours := vmlab.BuildTest(t, "./cmd/gokexec", "amd64")
	vmcoreDmesg := func(path string) string {
		t.Helper()
		cmd := &exec.Cmd{Path: ours, Args: []string{"vmcore-dmesg", path}}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil || stderr.Len() != 0 {
			t.Errorf("vmcore-dmesg %s: %v\n%s", filepath.Base(path), err, &stderr)
		}
		return stdout.String()
	}
	if got := vmcoreDmesg(elf); got != d.log {
		t.Errorf("vmcore-dmesg reads another log than the capture saved; first difference:\n%s", firstDifference(got, d.log))
	}
	for _, suite := range []string{"bookworm", "sid"} {
		pkg := vmlab.GetTestPackage(t, suite, "kexec-tools")
		program, err := pkg.HostProgram("usr/sbin/vmcore-dmesg")
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd := exec.Command(program.Argv[0], append(program.Argv[1:], elf)...)
		cmd.Stderr = &stderr
		theirs, err := cmd.Output()
		if err != nil || stderr.Len() != 0 {
			t.Errorf("vmcore-dmesg of kexec-tools %s: %v\n%s", pkg.Version, err, &stderr)
		}
		if string(theirs) != d.log {
			t.Errorf("vmcore-dmesg of kexec-tools %s reads another log; first difference:\n%s", pkg.Version, firstDifference(d.log, string(theirs)))
		}
	}
	for _, args := range [][]string{{"-c", "-d", "1"}, {"-F", "-l", "-d", "1"}, {"-F", "-E", "-d", "1"}, {"-l", "-d", "31"}} {
		name := strings.Join(args, " ")
		path := filepath.Join(t.TempDir(), "dump")
		if err := makedumpfile(args, elf, path); err != nil {
			if args[len(args)-1] == "31" {
				// Its filter knows this kernel or doesn't; that is not what is tested.
				t.Logf("%v", err)
				continue
			}
			t.Fatal(err)
		}
		if args[0] != "-F" {
			theirs := path + ".log"
			if err := makedumpfile([]string{"--dump-dmesg"}, path, theirs); err != nil {
				t.Logf("makedumpfile %s: it can't read the log of its own dump: %v", name, err)
				continue
			}
			if b, err := os.ReadFile(theirs); err != nil || string(b) != d.log {
				t.Logf("makedumpfile %s: it reads another log from its own dump, %v", name, err)
				continue
			}
		}
		if got := vmcoreDmesg(path); got != d.log {
			t.Errorf("makedumpfile %s: vmcore-dmesg reads another log; first difference:\n%s", name, firstDifference(got, d.log))
		}
		if args[len(args)-1] == "1" {
			checkNonceIn(t, name, path, nonce)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// makedumpfile runs it; -F writes to standard output.
func makedumpfile(args []string, source, out string) error {
	argv := slices.Concat(args, []string{source})
	flat := slices.Contains(args, "-F")
	if !flat {
		argv = append(argv, out)
	}
	cmd := exec.Command("makedumpfile", argv...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if flat {
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, &text)
	}
	return nil
}

// checkNonceIn looks for every page of the nonce in a dump of makedumpfile.
func checkNonceIn(t *testing.T, name, path string, nonce *vmlab.Nonce) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := kdumpfile.Open(io.NewSectionReader(f, 0, size))
	if err != nil {
		t.Errorf("makedumpfile %s: %v", name, err)
		return
	}
	if dump.Incomplete() || len(dump.Damage()) != 0 {
		t.Errorf("makedumpfile %s: incomplete %v, damage %v", name, dump.Incomplete(), dump.Damage())
	}
	err = nonce.Check(func(b []byte, phys uint64) error {
		_, err := dump.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	})
	if err != nil {
		t.Errorf("makedumpfile %s: nonce: %v", name, err)
	}
}
