package loader

import (
	"debug/elf"
	"errors"
	"strings"
	"testing"
)

func TestParseCmdline(t *testing.T) {
	tests := []struct {
		name, in string
		want     string
		args     int
		wantErr  error
	}{
		{"empty", "", "", 0, nil},
		{"spaces and newline", "  a=1\tb \n", "a=1 b", 2, nil},
		{"quoted value", `a="x y" b`, `a="x y" b`, 2, nil},
		{"quoted word", `"a=x y" b`, `"a=x y" b`, 2, nil},
		{"quote inside", `dyndbg="file a +p; file b +p"`, `dyndbg="file a +p; file b +p"`, 1, nil},
		{"init's words", "a -- b c", "a -- b c", 1, nil},
		{"second --", "a -- b -- c", "a -- b -- c", 1, nil},
		{"lone --", "a --", "a", 1, nil},
		{"open quote", `a="x y`, "", 0, ErrCmdline},
		{"NUL", "a\x00b", "", 0, ErrCmdline},
	}
	for _, tt := range tests {
		c, err := ParseCmdline(tt.in)
		if !errors.Is(err, tt.wantErr) || (err != nil) != (tt.wantErr != nil) {
			t.Errorf("%s: ParseCmdline(%q) error = %v; want %v", tt.name, tt.in, err, tt.wantErr)
			continue
		}
		if got := c.String(); got != tt.want || len(c.Args) != tt.args {
			t.Errorf("%s: ParseCmdline(%q) = %q with %d args; want %q with %d", tt.name, tt.in, got, len(c.Args), tt.want, tt.args)
		}
	}
}

func TestArgNames(t *testing.T) {
	tests := []struct{ word, name, value string }{
		{`crashkernel=256M,high`, "crashkernel", "256M,high"},
		{`"a=x y"`, "a", "x y"},
		{`a="x y"`, "a", "x y"},
		{`quiet`, "quiet", ""},
		{`a=b=c`, "a", "b=c"},
	}
	for _, tt := range tests {
		if a := parseArg(tt.word); a.Name != tt.name || a.Value != tt.value {
			t.Errorf("parseArg(%q) = %q, %q; want %q, %q", tt.word, a.Name, a.Value, tt.name, tt.value)
		}
	}
}

func TestReuseCmdline(t *testing.T) {
	tests := []struct {
		name, in, crash, boot string
	}{
		{"debian", "BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1-2 ro quiet crashkernel=512M-:192M", "root=UUID=1-2 ro quiet", "root=UUID=1-2 ro quiet crashkernel=512M-:192M"},
		{"two crashkernel words", "crashkernel=1G,high crashkernel=256M,low a", "a", "crashkernel=1G,high crashkernel=256M,low a"},
		{"prefix is not the name", "xcrashkernel=1 crashkernel2=3 hugepages_x=1", "xcrashkernel=1 crashkernel2=3 hugepages_x=1", "xcrashkernel=1 crashkernel2=3 hugepages_x=1"},
		{"dash is underscore", "reserve-mem=4M:4K:x a", "a", "reserve-mem=4M:4K:x a"},
		{"inside quotes", `dyndbg="crashkernel=1 mem=2" mem=4G`, `dyndbg="crashkernel=1 mem=2"`, `dyndbg="crashkernel=1 mem=2" mem=4G`},
		{"quoted word is dropped whole", `"crashkernel=1G foo" a`, "a", `"crashkernel=1G foo" a`},
		{"hugepages and resume", "hugepagesz=1G hugepages=4 resume=/dev/sda2 initrd=\\x.img", "", "hugepagesz=1G hugepages=4 resume=/dev/sda2"},
		{"init's words stay", "mem=1G -- single mem=2", "-- single mem=2", "mem=1G -- single mem=2"},
	}
	for _, tt := range tests {
		c, err := ParseCmdline(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		crash, changes := ReuseCmdline(c, Crash)
		if got := crash.String(); got != tt.crash {
			t.Errorf("%s: ReuseCmdline(%q, Crash) = %q; want %q", tt.name, tt.in, got, tt.crash)
		}
		if len(changes) != len(c.Args)-len(crash.Args) {
			t.Errorf("%s: %d changes told; want %d", tt.name, len(changes), len(c.Args)-len(crash.Args))
		}
		if boot, _ := ReuseCmdline(c, Boot); boot.String() != tt.boot {
			t.Errorf("%s: ReuseCmdline(%q, Boot) = %q; want %q", tt.name, tt.in, boot, tt.boot)
		}
	}
}

func TestCompleteCrashCmdline(t *testing.T) {
	tests := []struct {
		name, in   string
		machine    elf.Machine
		with, less []string
	}{
		{"x86", "root=/dev/sda", elf.EM_X86_64, []string{"nr_cpus=1", "reset_devices", "irqpoll", "acpi_no_memhotplug", "panic=10", "mce=off"}, []string{"maxcpus=1"}},
		{"decided already", "nr_cpus=2 panic=0 mce=on irqpoll", elf.EM_X86_64, []string{"nr_cpus=2", "panic=0", "mce=on"}, []string{"nr_cpus=1", "panic=10", "mce=off"}},
		{"maxcpus counts as nr_cpus", "maxcpus=1", elf.EM_X86_64, []string{"maxcpus=1"}, []string{"nr_cpus=1"}},
		{"arm64", "", elf.EM_AARCH64, []string{"nr_cpus=1", "reset_devices", "acpi_no_memhotplug"}, []string{"mce=off"}},
		{"ppc64", "", elf.EM_PPC64, []string{"maxcpus=1", "noirqdistrib"}, []string{"nr_cpus=1", "acpi_no_memhotplug"}},
		{"riscv", "", elf.EM_RISCV, []string{"nr_cpus=1", "panic=10"}, []string{"irqpoll", "acpi_no_memhotplug"}},
		{"before init's words", "a -- single", elf.EM_X86_64, []string{"-- single"}, nil},
	}
	for _, tt := range tests {
		c, err := ParseCmdline(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := CompleteCrashCmdline(c, tt.machine)
		words := " " + got.String() + " "
		for _, w := range tt.with {
			if strings.Count(words, " "+w+" ") != 1 {
				t.Errorf("%s: CompleteCrashCmdline(%q) = %q; want %q in it once", tt.name, tt.in, got, w)
			}
		}
		for _, w := range tt.less {
			if strings.Contains(words, " "+w+" ") {
				t.Errorf("%s: CompleteCrashCmdline(%q) = %q; want no %q", tt.name, tt.in, got, w)
			}
		}
		if again, more := CompleteCrashCmdline(got, tt.machine); again.String() != got.String() || len(more) != 0 {
			t.Errorf("%s: completing twice adds %v; want nothing", tt.name, more)
		}
	}
}

// Every word has a reason, and every appended word can be declined.
func TestParamTablesExplain(t *testing.T) {
	for _, p := range CrashParams() {
		if p.Why == "" || !(Cmdline{Args: []Arg{parseArg(p.Text)}}).Has(p.Unless...) {
			t.Errorf("CrashParams: %q has no reason, or does not decline itself", p.Text)
		}
	}
	for _, d := range DroppedParams() {
		if d.Why == "" {
			t.Errorf("DroppedParams: %q has no reason", d.Name)
		}
	}
}

// Splitting keeps every byte that is not white space outside of quotes, and a
// printed line splits into the same words.
func FuzzParseCmdline(f *testing.F) {
	for _, s := range []string{"", "a b", `a="b c" -- d`, `"`, "a\x00", `x"y z"w -- --`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCmdline(s)
		if err != nil {
			if !errors.Is(err, ErrCmdline) {
				t.Fatalf("ParseCmdline(%q) error %v is not ErrCmdline", s, err)
			}
			return
		}
		again, err := ParseCmdline(c.String())
		if err != nil {
			t.Fatalf("ParseCmdline(%q).String() = %q does not parse: %v", s, c, err)
		}
		if again.String() != c.String() || len(again.Args) != len(c.Args) || len(again.Init) != len(c.Init) {
			t.Fatalf("ParseCmdline(%q) = %q; parsed again %q", s, c, again)
		}
		kept, dropped := c.Without(func(a Arg) bool { return sameParam(a.Name, "crashkernel") })
		if kept.Has("crashkernel") || len(kept.Args)+len(dropped) != len(c.Args) {
			t.Fatalf("Without(crashkernel) of %q left %q, dropped %d", s, kept, len(dropped))
		}
	})
}
