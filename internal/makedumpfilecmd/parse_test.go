package makedumpfilecmd

import (
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func parse(line string) *Invocation {
	return Parse(append([]string{"makedumpfile"}, strings.Fields(line)...), false)
}

// What a command line asks for, or with which code and last message it is refused.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"-d 31 -c V D", "create V [D] [31] c"},
		{"-l --message-level 7 -d 31 V D", "create V [D] [31] l"}, // kdump-utils
		{"V -d 31 D -z", "create V [D] [31] z"},
		{"-F -c -d 31 V", "create V [] [31] c flat"}, // kdump-tools
		{"-F -E -d 31 --message-level 6 V", "create V [] [31] elf flat"},
		{"-cFd31 V", "create V [] [31] c flat"},
		{"-E -d 1 V D", "create V [D] [1] elf"},
		{"-d 1,31 V D", "create V [D] [1 31]"},
		{"-d ,, V D", "create V [D] [0]"},
		{"-d 31 -d , V D", "create V [D] [31]"},
		{"-d foo V D", "create V [D] [0]"},
		{"V D", "create V [D] [0]"},
		{"--split V A B", "create V [A B] [0]"},
		{"--split V A", "stop 1 " + TextTry},
		{"--split V", "stop 1 " + TextTry},
		{"--split -E V A B", "stop 1 " + TextTry},
		{"--split -F V A B", "stop 1 " + TextTry},
		{"--reassemble A B D", "reassemble [A B] [D]"},
		{"--reassemble A", "reassemble [] [A]"},
		{"--reassemble", "stop 1 " + TextTry},
		{"--reassemble -c A B", "stop 1 " + TextTry},
		{"-R D", "rearrange [D]"},
		{"-R", "stop 1 " + TextTry},
		{"-R -d 0 D", "rearrange [D]"},
		{"-R -d 1 D", "stop 1 " + TextTry},
		{"-R -F D", "stop 1 " + TextTry},
		{"--dump-dmesg V L", "dmesg V [L]"},
		{"-F --message-level 8 --dump-dmesg V", "dmesg V [] flat"}, // SUSE
		{"--dump-dmesg V", "stop 1 " + TextTry},
		{"--dump-dmesg --partial-dmesg V L", "dmesg V [L]"},
		{"--partial-dmesg V L", "stop 1 " + TextTry},
		{"--dry-run --dump-dmesg V L", "stop 1 " + TextTry},
		{"--mem-usage /proc/kcore", "usage of /proc/kcore"},
		{"-f --mem-usage /proc/kcore", "usage of /proc/kcore"},
		{"--mem-usage", "stop 1 " + TextTry},
		{"-v", "version"}, {"-h --bogus", "stop 1 " + TextTry}, {"-h", "help"}, {"-v -h", "help"}, {"--help V", "help"},
		{"--num-threads 2 -E V D", "stop 1 " + TextTry},
		{"--num-threads 0 -E V D", "create V [D] [0] elf"},
		{"--num-threads 2 --split V A B", "stop 1 " + TextTry},
		{"-c -E V D", "stop 1 " + TextTry},
		{"-d 32 V D", "stop 1 Dump_level(32) is invalid."},
		{"-d -1 V D", "stop 1 Dump_level(-1) is invalid."},
		{"-d 1,2,77 V D", "stop 1 Dump_level(77) is invalid."},
		{"-d " + strings.Repeat("0,", 33) + " V D", "stop 1 Dump_level is invalid."},
		{"--message-level 32 V D", "stop 1 Message_level(32) is invalid."},
		{"-L 0 V D", "stop 1 Limit size(0) is invalid."},
		{"-L 5x V D", "stop 1 Limit size(5x) is invalid."},
		{"-L 5k V D", "create V [D] [0]"},
		{"-e V D", "stop 1 " + TextTry},
		{"-e --work-dir /tmp V D", "create V [D] [0]"},
		{"V", "stop 1 " + TextTry}, {"", "stop 1 " + TextTry}, {"V D D", "stop 1 " + TextTry},
		{"-i I V D", "create V [D] [0]"}, {"-i I -x K V D", "stop 1 " + TextTry},
		{"--check-params -d 31 -c V D", "check"},
		{"--check-params -d 31 -c V", "stop 1 " + TextTry},
		{"--check-params --check-params --dump-dmesg V L", "check"},
		{"-x K V D", "stop 3"}, {"-g I -x K", "stop 3"}, {"-g I", "stop 1 " + TextTry}, {"-g I --dry-run -x K", "stop 1 " + TextTry},
		{"--check-params -x K V D", "stop 3"},
		{"--config C V D", "stop 1 " + TextTry}, {"-x K --config C V D", "stop 3"}, {"--eppic E V D", "stop 3"},
		{"-X V D", "stop 3"}, {"--xen-syms S V D", "stop 3"}, {"--xen-vmcoreinfo S V D", "stop 3"}, {"--xen_phys_start 1 V D", "create V [D] [0]"},
		{"--diskset=A --diskset=B D", "stop 3"}, {"--extension E V D", "stop 3"},
	} {
		inv := parse(tt.line)
		if got := asked(inv); got != tt.want {
			t.Errorf("Parse(%q) = %q; want %q", tt.line, got, tt.want)
		}
		if s := inv.Stop; s != nil && s.Code == ExitUnsupported && !strings.Contains(s.Err, "not supported: ") {
			t.Errorf("Parse(%q) stops with %+v; want a line that says why", tt.line, s)
		}
	}
}

// asked says what an invocation is about.
func asked(inv *Invocation) string {
	if s := inv.Stop; s != nil {
		text := fmt.Sprint("stop ", s.Code)
		if len(s.Text) > 0 {
			text += " " + s.Text[len(s.Text)-1]
		}
		return text
	}
	flat := ""
	if inv.Flatten {
		flat = " flat"
	}
	switch inv.Action {
	case Usage:
		return "help"
	case Version:
		return "version"
	case Check:
		return "check"
	case Rearrange:
		return fmt.Sprint("rearrange ", inv.Outputs)
	case Reassemble:
		return fmt.Sprint("reassemble ", inv.Sources, " ", inv.Outputs)
	case Dmesg:
		return fmt.Sprint("dmesg ", inv.Source, " ", inv.Outputs, flat)
	case MemUsage:
		return "usage of " + inv.Source
	}
	text := fmt.Sprint("create ", inv.Source, " ", inv.Outputs, " ", inv.Levels)
	if inv.Codec != 0 {
		text += " " + string(inv.Codec)
	}
	if inv.ELF {
		text += " elf"
	}
	return text + flat
}

func TestParseMessages(t *testing.T) {
	for _, tt := range []struct {
		line  string
		level Level
	}{
		{"V D", 7}, {"--message-level 6 V D", 6}, {"--message-level 0 -D V D", 8}, {"--show-stats V D", 23}, {"--message-level 1 --show-stats -D V D", 25},
		{"--check-params --message-level 0 V D", 7}, {"--message-level 0 --check-params V D", 7}, {"--message-level 2 --message-level 99 V D", 7},
	} {
		if got := parse(tt.line).Messages; got != tt.level {
			t.Errorf("Parse(%q).Messages = %d; want %d", tt.line, got, tt.level)
		}
	}
	if inv := parse("--message-level 4 -F --bogus"); !inv.Flatten || inv.Messages != Errors || inv.Stop.Err != "makedumpfile: unrecognized option '--bogus'" {
		t.Errorf("a mistake after -F = %+v, %+v", inv, inv.Stop)
	}
	if n := parse("--num-threads 1000000 V D").Threads; n != runtime.NumCPU() {
		t.Errorf("--num-threads 1000000 = %d threads; want no more than CPUs", n)
	}
	if n := parse("-L 2M V D").Limit; n != 2<<20 {
		t.Errorf("-L 2M = %d", n)
	}
	if v := parse("--vtop 0xffffffff81000000 V D").Vtop; v != 0xffffffff81000000 {
		t.Errorf("--vtop = %#x", v)
	}
}

// The last line is that of the original.
func TestLast(t *testing.T) {
	for _, tt := range []struct {
		line string
		code int
		want string
	}{
		{"V D", 0, TextCompleted}, {"V D", 1, TextFailed}, {"--mem-usage V", 0, ""}, {"--mem-usage V", 1, TextFailed},
		{"--check-params V", 1, ""}, {"-h", 0, ""}, {"-v", 0, ""}, {"--dump-dmesg V L", 0, TextCompleted},
	} {
		if got := parse(tt.line).Last(tt.code); got != tt.want {
			t.Errorf("%q: Last(%d) = %q; want %q", tt.line, tt.code, got, tt.want)
		}
	}
}

func TestAtoi(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "31": 31, " \t7": 7, "+3": 3, "-4x": -4, "31x": 31, "x": 0, "0x10": 0, "4294967297": 1, "99999999999999999999": -1, "-99999999999999999999": 0, "--1": 0, "2147483648": math.MinInt32,
	} {
		if got := atoi(text); got != want {
			t.Errorf("atoi(%q) = %d; want %d", text, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"1": 1, "0x10": 16, "010": 8, "1k": 1 << 10, "1K": 1 << 10, "2m": 2 << 20, "3G": 3 << 30, "1t": 1 << 40, "1P": 1 << 50, "1e": 1 << 60, "0xek": 0xe << 10,
		"": 0, "0": 0, "x": 0, "1kk": 0, "1kb": 0, "5 ": 0, "0x": 0, "08": 0,
	} {
		got, ok := size(text)
		if ok != (want != 0) || ok && got != want {
			t.Errorf("size(%q) = %d, %v; want %d", text, got, ok, want)
		}
	}
}

// No command line makes Parse fail otherwise than by a Stop, and an accepted one names what is needed.
func FuzzParse(f *testing.F) {
	f.Add("-d 1,31 -l --message-level=7 V D")
	f.Add("--split --num-threads 3 -F V A B C")
	f.Add("-R --reass -g x")
	f.Fuzz(func(t *testing.T, line string) {
		argv := append([]string{"makedumpfile"}, strings.Split(line, " ")...)
		inv := Parse(argv, false)
		if inv.Stop != nil {
			if inv.Stop.Code == 0 || inv.Stop.Err == "" && len(inv.Stop.Text) == 0 {
				t.Fatalf("Parse(%q) stops with %+v", argv, inv.Stop)
			}
			return
		}
		needs := map[Action]bool{
			Create: len(inv.Outputs) == 1 || inv.Flatten && len(inv.Outputs) == 0 || inv.Split && len(inv.Outputs) > 1,
			Dmesg:  len(inv.Outputs) >= 1 || inv.Flatten, MemUsage: true, Rearrange: len(inv.Outputs) == 1, Reassemble: len(inv.Outputs) == 1,
			Usage: true, Version: true, Check: true,
		}
		if !needs[inv.Action] || len(inv.Levels) == 0 || inv.Messages > allMessages {
			t.Fatalf("Parse(%q) = %+v", argv, inv)
		}
		if again := Parse(argv, false); !reflect.DeepEqual(again, inv) {
			t.Fatalf("Parse(%q) gives two answers", argv)
		}
	})
}
