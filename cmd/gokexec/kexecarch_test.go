package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/record"
)

// kexecOn runs kexec for a machine of another architecture than this one.
func kexecOn(t *testing.T, name string, k *kexectest.Kernel, argv ...string) (code int, stdout, stderr string) {
	t.Helper()
	arch, err := machine.ArchByName(name)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	e := &env{stdout: &out, stderr: &errs, sysroot: k.Dir, stateDir: filepath.Join(k.Dir, "run/gokexec"), kernel: k, power: &fakePower{}}
	code = e.kexecOn(context.Background(), arch, append([]string{"kexec"}, argv...))
	return code, out.String(), errs.String()
}

// On arm64 and riscv64 --dtb and the terminal reach the plan.
func TestKexecDeviceTree(t *testing.T) {
	arm := imagetest.GoodARM64()
	arm.ImageSize = 16 << 20
	for _, tt := range []struct {
		arch    string
		machine func() *kexectest.Machine
		kernel  []byte
		serial  string
	}{
		{"aarch64", func() *kexectest.Machine { return kexectest.NewARM64Machine(t, 4<<10, kexectest.VA48) }, arm.Bytes(), "--serial=ttyAMA7"},
		{"riscv64", func() *kexectest.Machine { return kexectest.NewRISCVMachine(t) }, imagetest.GoodRISCV().Bytes(), "--command-line=b"},
	} {
		dir := t.TempDir()
		kernel, dtb := filepath.Join(dir, "Image"), filepath.Join(dir, "board.dtb")
		m := tt.machine()
		tree, err := os.ReadFile(filepath.Join(m.Dir, "sys/firmware/fdt"))
		if err != nil {
			t.Fatal(err)
		}
		for path, data := range map[string][]byte{kernel: tt.kernel, dtb: tree} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k := kexectest.NewKernel(m)
		code, _, stderr := kexecOn(t, tt.arch, k, "-p", "--dtb="+dtb, tt.serial, "--append=x", kernel)
		if code != 0 || k.Crash == nil || k.Crash.Segments == nil {
			t.Errorf("%s: kexec -p --dtb = %d, by kexec_load: %v; want 0, and by kexec_load\n%s", tt.arch, code, k.Crash != nil && k.Crash.Segments != nil, stderr)
		}
		state, err := record.Read(filepath.Join(m.Dir, "run/gokexec"))
		if err != nil || state.Asked.DTB == nil || state.Asked.DTB.Path != dtb || !strings.HasSuffix(state.Cmdline, "x") {
			t.Errorf("%s: noted %+v, %v; want the device tree and the command line", tt.arch, state, err)
		}
		if code, _, stderr := kexecOn(t, tt.arch, k, "-ps", "--dtb="+dtb, kernel); code != 0 || k.Crash.Segments != nil {
			t.Errorf("%s: kexec -ps --dtb = %d; want 0, by kexec_file_load\n%s", tt.arch, code, stderr)
		}
		if code, _, stderr := kexecOn(t, tt.arch, k, "-p", "--dtb="+kernel+"none", kernel); code != 1 || !strings.HasPrefix(stderr, "Cannot open `") {
			t.Errorf("%s: a missing device tree: %d, %s", tt.arch, code, stderr)
		}
		// Options of x86 are unknown here.
		if code, stdout, stderr := kexecOn(t, tt.arch, k, "--reset-vga", "-S"); code != 1 || !strings.Contains(stdout, "Usage:") || !strings.Contains(stderr, "unrecognized option") {
			t.Errorf("%s: --reset-vga: %d, %q", tt.arch, code, stderr)
		}
	}
}

// On loong64 kexec does not let one image overwrite the command line of the other in
// silence.
func TestKexecBothImages(t *testing.T) {
	k := kexectest.NewKernel(kexectest.NewMachine(t))
	kernel := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(kernel, imagetest.LoongArch(1<<20, imagetest.Banner("6.18.1")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		argv        []string
		code        int
		stderr      string
		crash, boot bool // loaded afterwards
	}{
		{[]string{"-s", "-p", kernel}, 0, "", true, false},
		{[]string{"-s", "-l", kernel}, 255, "one command line for both images", true, false},
		{[]string{"-p", "-u"}, 0, "", false, false},
		{[]string{"-s", "-l", kernel}, 0, "", false, true},
		{[]string{"-s", "-p", kernel}, 0, "kexec: warning: a kernel is loaded for a reboot", true, false},
	} {
		code, _, stderr := kexecOn(t, "loongarch64", k, tt.argv...)
		if code != tt.code || !strings.Contains(stderr, tt.stderr) || (tt.stderr == "") != (stderr == "") || (k.Crash != nil) != tt.crash || (k.Boot != nil) != tt.boot {
			t.Errorf("kexec %q = %d, crash %t, boot %t; want %d, %t, %t\n%s", tt.argv, code, k.Crash != nil, k.Boot != nil, tt.code, tt.crash, tt.boot, stderr)
		}
	}
}
