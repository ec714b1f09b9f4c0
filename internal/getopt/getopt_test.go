package getopt

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// kexecLike has what is hard: names that are prefixes of others, two names of one
// option, letters with an argument.
var kexecLike = Set{Short: "h?lpt:so::", Long: []Long{
	{"help", No, 'h'}, {"load", No, 'l'}, {"load-panic", No, 'p'}, {"no-checks", No, 1}, {"no-sync", No, 2},
	{"command-line", Required, 3}, {"command", Required, 3}, {"append", Required, 3}, {"type", Required, 't'}, {"color", Optional, 4},
}}

func TestParse(t *testing.T) {
	none := []string(nil)
	for _, tt := range []struct {
		argv, want, operands []string
	}{
		{[]string{"kexec"}, nil, none},
		{[]string{"kexec", "-lp", "K"}, []string{"l", "p"}, []string{"K"}},
		{[]string{"kexec", "K", "-l", "--", "-p", "x"}, []string{"l"}, []string{"K", "-p", "x"}},
		{[]string{"kexec", "-", "-l"}, []string{"l"}, []string{"-"}},
		{[]string{"kexec", "--load"}, []string{"l"}, none},
		{[]string{"kexec", "--load-"}, []string{"p"}, none},
		{[]string{"kexec", "--append=a=b", "--append", "-l", "--app="}, []string{"3=a=b", "3=-l", "3="}, none},
		{[]string{"kexec", "--comm=x"}, []string{"3=x"}, none},
		{[]string{"kexec", "--append", "--", "K"}, []string{"3=--"}, []string{"K"}},
		{[]string{"kexec", "-tx", "-t", "y", "-lt", "z"}, []string{"t=x", "t=y", "l", "t=z"}, none},
		{[]string{"kexec", "-t", "--", "K"}, []string{"t=--"}, []string{"K"}},
		{[]string{"kexec", "-?"}, []string{"?"}, none},
		{[]string{"kexec", "--color", "x", "--color=y", "-o", "a", "-ob"}, []string{"4", "4=y", "o", "o=b"}, []string{"x", "a"}},
		{[]string{"kexec", "-lxp"}, []string{"l", "kexec: invalid option -- 'x'", "p"}, none},
		{[]string{"kexec", "-:"}, []string{"kexec: invalid option -- ':'"}, none},
		{[]string{"kexec", "-l-"}, []string{"l", "kexec: invalid option -- '-'"}, none},
		{[]string{"kexec", "-t"}, []string{"kexec: option requires an argument -- 't'"}, none},
		{[]string{"/sbin/kexec", "--bogus=1", "-l"}, []string{"/sbin/kexec: unrecognized option '--bogus=1'", "l"}, none},
		{[]string{"kexec", "--load=1"}, []string{"kexec: option '--load' doesn't allow an argument"}, none},
		{[]string{"kexec", "--load-p=1"}, []string{"kexec: option '--load-panic' doesn't allow an argument"}, none},
		{[]string{"kexec", "--appen"}, []string{"kexec: option '--append' requires an argument"}, none},
		{[]string{"kexec", "--no=1"}, []string{"kexec: option '--no=1' is ambiguous; possibilities: '--no-checks' '--no-sync'"}, none},
		{[]string{"kexec", "--lo"}, []string{"kexec: option '--lo' is ambiguous; possibilities: '--load' '--load-panic'"}, none},
		{[]string{"kexec", "--co"}, []string{"kexec: option '--co' is ambiguous; possibilities: '--command-line' '--color'"}, none},
	} {
		items, operands := kexecLike.Parse(tt.argv)
		if got := show(items); !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(operands, tt.operands) {
			t.Errorf("Parse(%q) = %q, %q; want %q, %q", tt.argv, got, operands, tt.want, tt.operands)
		}
	}
}

func TestParsePOSIX(t *testing.T) {
	s := kexecLike
	s.POSIX = true
	items, operands := s.Parse([]string{"kexec", "-l", "K", "-p", "--", "x"})
	if got := show(items); !reflect.DeepEqual(got, []string{"l"}) || !reflect.DeepEqual(operands, []string{"K", "-p", "--", "x"}) {
		t.Errorf("Parse with POSIX = %q, %q; want the options to end at the first operand", got, operands)
	}
	if items, operands := s.Parse(nil); items != nil || operands != nil {
		t.Errorf("Parse(nil) = %v, %v; want nothing", items, operands)
	}
}

func show(items []Item) (out []string) {
	for _, i := range items {
		text := fmt.Sprint(i.Val)
		if i.Val > ' ' {
			text = string(rune(i.Val))
		}
		if i.Given {
			text += "=" + i.Arg
		}
		if i.Err != "" {
			text = i.Err
		}
		out = append(out, text)
	}
	return out
}

// Every word is an option, an argument or an operand, once, and operands are in
// their order.
func FuzzParse(f *testing.F) {
	f.Add("K -lp --append x -- -l")
	f.Add("--co=3 -t -- -o --no")
	f.Fuzz(func(t *testing.T, line string) {
		argv := append([]string{"kexec"}, strings.Split(line, " ")...)
		items, operands := kexecLike.Parse(argv)
		at := 0
		for _, o := range operands {
			for at < len(argv) && argv[at] != o {
				at++
			}
			if at == len(argv) {
				t.Fatalf("Parse(%q): operands %q are not in the order of the words", argv, operands)
			}
			at++
		}
		for _, i := range items {
			if i.Err != "" && (i.Val != Unknown || !strings.HasPrefix(i.Err, "kexec: ")) {
				t.Fatalf("Parse(%q): mistake %+v", argv, i)
			}
			if i.Given && !strings.Contains(line, i.Arg) {
				t.Fatalf("Parse(%q): argument %q was never given", argv, i.Arg)
			}
		}
		// Options after "--" never count; put before all else it makes all operands.
		if items, operands := kexecLike.Parse(append([]string{"kexec", "--"}, argv[1:]...)); len(items) != 0 || !reflect.DeepEqual(operands, argv[1:]) {
			t.Fatalf("Parse(-- %q) = %v, %q", argv[1:], items, operands)
		}
	})
}
