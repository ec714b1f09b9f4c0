package kexeccmd

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/plan"
)

func parse(t *testing.T, arch, line string) *Invocation {
	t.Helper()
	inv, err := Parse(arch, append([]string{"kexec"}, strings.Fields(line)...), false)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// steps says what an invocation is about to do.
func steps(inv *Invocation) string {
	if inv.Stop != nil {
		return "stop " + fmt.Sprint(inv.Stop.Code)
	}
	var s []string
	for _, step := range []struct {
		is   bool
		name string
	}{{inv.Status, "status"}, {inv.Unload, "unload"}, {inv.Load, "load"}, {inv.Crash, "crash"}, {inv.Shutdown, "shutdown"}, {inv.Sync, "sync"}, {inv.IfDown, "ifdown"}, {inv.Exec, "exec"},
		{inv.Method == plan.File, "by kexec_file_load"}, {inv.Method == plan.Segments, "by kexec_load"}} {
		if step.is {
			s = append(s, step.name)
		}
	}
	return strings.Join(s, " ")
}

// Later options take back what earlier ones asked for, as in kexec-tools' main().
func TestParseOrder(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"", "load shutdown sync"},
		{"K", "load shutdown sync"},
		{"-l K", "load sync"},
		{"-p K", "load crash"},
		{"-p -l K", "load crash"},
		{"-u", "unload"},
		{"-p -u", "unload crash"},
		{"-u -p", "unload load crash"},
		{"-u -l K", "unload load"},
		{"-e", "sync ifdown exec"},
		{"-e -x", "sync exec"},
		{"-y -e", "ifdown exec"},
		{"-f K", "load sync ifdown exec"},
		{"-f -l K", "load sync"},
		{"-e -l K", "load sync"},
		{"-l -e K", "sync ifdown exec"},
		{"-p -f K", "load crash sync ifdown exec"},
		{"-S", "status crash"},
		{"-l -S", "status"},
		{"-S -p -l", "status crash"},
		{"-d -S", "status crash"},
		{"-S -u -e -l K", "status"},
		{"-s -c K", "load shutdown sync by kexec_load"},
		{"-c -s K", "load shutdown sync by kexec_file_load"},
		{"-s -a K", "load shutdown sync"},
		{"-c --load-preserve-context -p K", "load crash by kexec_load"},
		{"-p --load-preserve-context K", "load sync"},
		{"--load-jump-back-helper", "sync"},
		{"-v --bogus", "stop 0"},
		{"--bogus -v", "stop 1"},
		{"-?", "stop 1"},
		{"--print-ckr-size", "stop 0"},
		{"--mem-min=z", "stop 1"},
		{"--exec-live-update", "stop 1"},
	} {
		if got := steps(parse(t, "x86_64", tt.line)); got != tt.want {
			t.Errorf("Parse(%q) would %q; want %q", tt.line, got, tt.want)
		}
	}
}

// Options that other architectures don't have are unknown there.
func TestParseArches(t *testing.T) {
	for _, tt := range []struct {
		arch, line string
		stop       int // of Parse or Refuse; -1: none
	}{
		{"x86_64", "--reset-vga -p K", -1},
		{"aarch64", "--reset-vga -p K", 1},
		{"aarch64", "--dtb=D --serial=ttyAMA0 -p K", -1},
		{"aarch64", "-p -u --append=x", -1},
		{"x86_64", "-p -u --append=x", 1},
		{"riscv64", "--dtb=D --command-line=x --append=y -l K", -1},
		{"riscv64", "--ramdisk=I -l K", 1},
		{"riscv64", "--serial=ttyS0 -l K", 1},
		{"ppc64le", "--devicetreeblob=D --dt-no-old-root --args-linux -l K", -1},
		{"ppc64le", "-u --dt-no-old-root", -1},
		{"ppc64le", "-u --initrd=I", 1},
		{"ppc64le", "-s --dt-no-old-root -p --command-line=x --initrd=I K", -1}, // RHEL
		{"ppc64le", "-l --debug --initrd=I --dtb=D --append=x K", -1},           // Petitboot
		{"s390x", "-s -p --command-line=x --initrd=I K", -1},                    // RHEL
		{"s390x", "--initrd=I --append=x -l K", -1},
		{"s390x", "--ramdisk=I -l K", 1},
		{"loongarch64", "--ramdisk=I --reuse-cmdline -u", -1},
		{"armv7l", "--atags -l K", 255},
		{"armv7l", "--image-size=0x100000 -u", 1},
		{"i686", "--elf32-core-headers -p K", -1},
	} {
		inv := parse(t, tt.arch, tt.line)
		got := -1
		if stop := inv.Refuse(Machine{CrashMemory: true, CanHotplug: true}); stop != nil {
			got = stop.Code
		}
		if got != tt.stop {
			t.Errorf("%s: %q stops with %d; want %d", tt.arch, tt.line, got, tt.stop)
		}
	}
	if _, err := Parse("vax", []string{"kexec"}, false); err == nil {
		t.Error("Parse for a vax = no error")
	}
}

func TestParseValues(t *testing.T) {
	inv := parse(t, "x86_64", "-c -l K K2 --mem-min=0x100000 --mem-max 010 --entry=16 --type=uki -i --console-serial --serial=0x2f8 --serial-baud=9600 --noefi --pass-memmap-cmdline --initrd= --hotplug")
	want := Invocation{MemMin: 0x100000, MemMax: 8, Entry: 16, Type: "uki", NoChecks: true, Serial: plan.Serial{Port: 0x2f8, Baud: 9600}, NoEFI: true, PassMemmap: true, Hotplug: true}
	got := Invocation{MemMin: inv.MemMin, MemMax: inv.MemMax, Entry: inv.Entry, Type: inv.Type, NoChecks: inv.NoChecks, Serial: inv.Serial, NoEFI: inv.NoEFI, PassMemmap: inv.PassMemmap, Hotplug: inv.Hotplug}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v; want %+v", got, want)
	}
	if len(inv.Kernels) != 2 || inv.Initrd == nil || *inv.Initrd != "" {
		t.Errorf("kernels %q, initrd %v; want both kernels and an initrd without a name", inv.Kernels, inv.Initrd)
	}
	if s := parse(t, "x86_64", "--serial=ttyS1 -p K").Serial; s != (plan.Serial{}) {
		t.Errorf("--serial without --console-serial = %+v; want none", s)
	}
	if got := parse(t, "aarch64", "--serial=ttyAMA0 -p K").Terminal; got != "ttyAMA0" {
		t.Errorf("arm64 --serial = %q", got)
	}
	if w := parse(t, "x86_64", "-u -p").Warn; len(w) != 1 {
		t.Errorf("-u -p warns %q; want one warning", w)
	}
}

func TestStrtoul(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want uint64
		ok   bool
	}{
		{"", 0, true}, {"0", 0, true}, {"12", 12, true}, {" \t12", 12, true}, {"+5", 5, true}, {"-1", math.MaxUint64, true}, {"010", 8, true}, {"0x1F", 31, true}, {"0X1f", 31, true},
		{"18446744073709551615", math.MaxUint64, true}, {"18446744073709551616", math.MaxUint64, true}, {"-18446744073709551616", math.MaxUint64, true},
		{"08", 0, false}, {"0x", 0, false}, {"12 ", 0, false}, {"1k", 0, false}, {"-", 0, false}, {"--1", 0, false}, {"1_0", 0, false}, {" ", 0, false}, {"0x-1", 0, false},
	} {
		if got, ok := strtoul(tt.in); got != tt.want && tt.ok || ok != tt.ok {
			t.Errorf("strtoul(%q) = %d, %v; want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestCmdline(t *testing.T) {
	running, err := cmdline.Parse(`BOOT_IMAGE=/v root=x crashkernel=128M,high xcrashkernel=1 a="b crashkernel=2" crashkernel=72M,low elfcorehdr=0x1000 crashkernel_x=1 -- crashkernel=i`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ arch, line, want string }{
		{"x86_64", "-p K", ""},
		{"x86_64", "-p --append=a --command-line=b --noefi K", "b"},
		{"x86_64", "-p --reuse-cmdline K", `root=x xcrashkernel=1 a="b crashkernel=2" crashkernel_x=1 -- crashkernel=i`},
		{"x86_64", "-l --reuse-cmdline K", `root=x crashkernel=128M,high xcrashkernel=1 a="b crashkernel=2" crashkernel=72M,low crashkernel_x=1 -- crashkernel=i`},
		{"riscv64", "-l --append=b --command-line=a K", "a b"},
		{"s390x", "-l --append=b --append=a K", "b a"},
	} {
		got, err := parse(t, tt.arch, tt.line).Cmdline(running, nil)
		if err != nil || got != tt.want {
			t.Errorf("%s %q: command line %q, %v; want %q", tt.arch, tt.line, got, err, tt.want)
		}
	}
	if _, err := parse(t, "x86_64", "--reuse-cmdline K").Cmdline(running, fmt.Errorf("unreadable")); err == nil {
		t.Error("--reuse-cmdline of what can't be read = no error")
	}
}

// The tables hold together: what is said of an option is said of one there is.
func TestTables(t *testing.T) {
	known := map[string]bool{}
	for _, arch := range Arches() {
		options, err := Options(arch)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[int]string{}
		for _, o := range options {
			known[o.Name] = true
			if o.id == 0 || o.Help == "" {
				t.Errorf("%s: --%s has no number or no help", arch, o.Name)
			}
			if was, ok := ids[o.id]; ok && o.id != optAppend && o.id != optInitrd && o.id != optDTB {
				t.Errorf("%s: --%s and --%s are the same", arch, o.Name, was)
			}
			ids[o.id] = o.Name
			if o.Letter != 0 && !strings.Contains(letters, string(o.Letter)) {
				t.Errorf("%s: -%c is not in %q", arch, o.Letter, letters)
			}
		}
		if len(Types(arch)) == 0 {
			t.Errorf("%s has no types", arch)
		}
	}
	for _, u := range Unsupported() {
		if !known[u.Option] || u.Why == "" {
			t.Errorf("Unsupported has --%s, %q", u.Option, u.Why)
		}
	}
}

// An invocation does one kind of thing, whatever the command line.
func FuzzParse(f *testing.F) {
	f.Add("x86_64", "-p -u --append=x")
	f.Add("aarch64", "-S -l K --serial ttyS0")
	f.Add("s390x", "--mem-min=-0x -f")
	f.Fuzz(func(t *testing.T, arch, line string) {
		inv, err := Parse(arch, append([]string{"kexec"}, strings.Fields(line)...), false)
		if err != nil {
			return
		}
		stop := inv.Refuse(Machine{CrashMemory: true, CanHotplug: true, RetainsInitrd: true})
		switch {
		case inv.Stop != nil && stop != inv.Stop:
			t.Errorf("%q: Refuse overrules the parser", line)
		case stop != nil && !stop.Usage && !stop.Version && !stop.CrashSize && len(stop.Message) == 0:
			t.Errorf("%q stops without a word", line)
		case inv.Status && (inv.Load || inv.Unload || inv.Exec || inv.Shutdown || inv.Sync || inv.IfDown):
			t.Errorf("%q asks for more than the status: %s", line, steps(inv))
		case inv.IfDown && !inv.Exec, inv.Shutdown && inv.Exec:
			t.Errorf("%q would %s", line, steps(inv))
		}
	})
}
