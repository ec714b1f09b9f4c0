package kmod

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseDep(t *testing.T) {
	tests := []struct {
		name, input string
		want        []Dep
		wantErr     string
	}{
		{"empty", "", nil, ""},
		{"none", "kernel/a.ko:\n", []Dep{{File: "kernel/a.ko"}}, ""},
		{"some", "kernel/a-b.ko.xz: kernel/c.ko.zst /opt/d.ko\n", []Dep{{"kernel/a-b.ko.xz", []string{"kernel/c.ko.zst", "/opt/d.ko"}}}, ""},
		{"comment", "# x\n\na.ko:\n", []Dep{{File: "a.ko"}}, ""},
		{"no line break at the end", "a.ko: b.ko", []Dep{{"a.ko", []string{"b.ko"}}}, ""},
		{"no colon", "a.ko:\nb.ko\n", nil, `line 2: no ':' in "b.ko"`},
		{"no space", "a.ko:b.ko\n", nil, "line 1: no space after"},
		{"twice", "x/a-b.ko:\ny/a_b.ko:\n", nil, "line 2: module a_b is already on line 1"},
		{"not a module", "a.txt:\n", nil, `line 1: "a.txt" is not a module file`},
		{"not a module needed", "a.ko: b\n", nil, `line 1: "b" is not a module file`},
		{"dots", "../a.ko:\n", nil, `line 1: bad path "../a.ko"`},
		{"binary index", "\xb0\x07\xf4\x57\x00\x02", nil, "line 1: NUL"},
		{"long line", "a.ko: " + strings.Repeat("b.ko ", maxLine/5), nil, "line 1: bufio.Scanner: token too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseDep([]byte(tt.input))
			checkErr(t, "ParseDep", err, tt.wantErr)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseDep(%q) = %v; want %v", tt.input, got, tt.want)
			}
		})
	}
}

func FuzzParseDep(f *testing.F) {
	f.Add("kernel/a.ko.xz: kernel/b.ko\nb.ko:\n")
	f.Fuzz(func(t *testing.T, s string) {
		deps, err := ParseDep([]byte(s))
		if err != nil {
			return
		}
		// Printed and read again it is the same, and no name is twice.
		var b strings.Builder
		seen := map[string]bool{}
		for _, d := range deps {
			name, ok := ModuleName(d.File)
			if !ok || seen[name] || strings.Contains(name, "-") {
				t.Fatalf("ParseDep(%q): bad or repeated name %q", s, name)
			}
			seen[name] = true
			b.WriteString(d.File + ":")
			for _, n := range d.Needs {
				b.WriteString(" " + n)
			}
			b.WriteByte('\n')
		}
		again, err := ParseDep([]byte(b.String()))
		if err != nil || !reflect.DeepEqual(again, deps) {
			t.Fatalf("ParseDep(%q) = %v, %v; want %v", b.String(), again, err, deps)
		}
	})
}

func TestParseSoftdep(t *testing.T) {
	tests := []struct {
		name, input string
		want        map[string]Softdep
		wantErr     string
	}{
		{"both", "softdep a-b pre: c d-e post: f\n", map[string]Softdep{"a_b": {[]string{"c", "d-e"}, []string{"f"}}}, ""},
		{"two lines", "softdep a pre: b\nsoftdep a pre: c post: d\n", map[string]Softdep{"a": {[]string{"b", "c"}, []string{"d"}}}, ""},
		{"no keyword, as cifs has it", "softdep cifs gcm\n", map[string]Softdep{"cifs": {}}, ""},
		{"comment", "# Soft dependencies extracted from modules themselves.\n", map[string]Softdep{}, ""},
		{"an unknown keyword is a name", "softdep a before: b pre: x: c\n", map[string]Softdep{"a": {Pre: []string{"x:", "c"}}}, ""},
		{"odd lines", "alias a b\nsoftdep\nsoftdep a/b pre: c\nsoftdep a pre: b\n", map[string]Softdep{"a": {Pre: []string{"b"}}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseSoftdep([]byte(tt.input))
			checkErr(t, "ParseSoftdep", err, tt.wantErr)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseSoftdep(%q) = %v; want %v", tt.input, got, tt.want)
			}
		})
	}
}

func FuzzParseSoftdep(f *testing.F) {
	f.Add("softdep a pre: b post: c\nsoftdep cifs gcm\n")
	f.Fuzz(func(t *testing.T, s string) {
		soft, err := ParseSoftdep([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for name, d := range soft {
			b.WriteString("softdep " + name + " pre: " + strings.Join(d.Pre, " ") + " post: " + strings.Join(d.Post, " ") + "\n")
		}
		again, err := ParseSoftdep([]byte(b.String()))
		if err != nil || len(again) != len(soft) {
			t.Fatalf("ParseSoftdep(%q) = %v, %v; want %v", b.String(), again, err, soft)
		}
		for name, d := range soft {
			if !slices.Equal(again[name].Pre, d.Pre) || !slices.Equal(again[name].Post, d.Post) {
				t.Fatalf("ParseSoftdep(%q)[%s] = %v; want %v", b.String(), name, again[name], d)
			}
		}
	})
}

func TestParseWeakdep(t *testing.T) {
	got, err := ParseWeakdep([]byte("# x\nweakdep a-b c d\nweakdep a_b e\n"))
	if want := map[string][]string{"a_b": {"c", "d", "e"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseWeakdep = %v, %v; want %v", got, err, want)
	}
	if got, err := ParseWeakdep([]byte("softdep a pre: b\nweakdep\n")); err != nil || len(got) != 0 {
		t.Errorf("ParseWeakdep(odd lines) = %v, %v; want them passed over", got, err)
	}
}

func TestParseBuiltin(t *testing.T) {
	got, err := ParseBuiltin([]byte("kernel/fs/binfmt-x.ko\nkernel/b.ko\n"))
	if want := map[string]bool{"binfmt_x": true, "b": true}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseBuiltin = %v, %v; want %v", got, err, want)
	}
	got, err = ParseBuiltin([]byte("kernel/a.ko\nkernel/a\n"))
	if want := map[string]bool{"a": true}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseBuiltin(odd line) = %v, %v; want %v", got, err, want)
	}
}

func TestAlias(t *testing.T) {
	aliases, err := ParseAlias([]byte("# x\nalias fs-ext4 ext4\nalias dmi:*svn Some Vendor* x-y\n"))
	want := []Alias{{"fs-ext4", "ext4"}, {"dmi:*svn Some Vendor*", "x_y"}}
	if err != nil || !slices.Equal(aliases, want) {
		t.Errorf("ParseAlias = %v, %v; want %v", aliases, err, want)
	}
	for _, odd := range []string{"alias x\n", "alias  x\n", "softdep a b\n", "alias a b/c\n"} {
		got, err := ParseAlias([]byte(odd + "alias fs-ext4 ext4\n"))
		if err != nil || !slices.Equal(got, []Alias{{"fs-ext4", "ext4"}}) {
			t.Errorf("ParseAlias(%q and a good line) = %v, %v; want the good one", odd, got, err)
		}
	}
	got := ParseBuiltinAlias(append(modinfo("ext4.alias=fs-ext4", "ext4.license=GPL", "alias=b", "a.alias", "a.alias=", "a-b.alias=x=y"), "c.alias=d"...))
	want = []Alias{{"fs-ext4", "ext4"}, {"x=y", "a_b"}, {"d", "c"}}
	if !slices.Equal(got, want) {
		t.Errorf("ParseBuiltinAlias = %v; want %v", got, want)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"fs-ext4", "fs_ext4", true},
		{"pci:v*d*sv*sd*bc01sc08i02*", "pci:v00008086d0000F1A5sv00008086sd0000390Abc01sc08i02", true},
		{"pci:v*d*sv*sd*bc01sc08i02*", "pci:v00008086d0000F1A5sv00008086sd0000390Abc01sc06i01", false},
		{"scsi:t-0x00*", "scsi:t-0x00", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"d[0-24]e", "d1e", true},
		{"d[0-24]e", "d4e", true},
		{"d[0-24]e", "d3e", false},
		{"d[!0-2]e", "d3e", true},
		{"d[]x]e", "d]e", true},
		{"d[-x]", "d_", false},
		{"d[x", "d[x", true},
		{"*a*b*c", "xxaxxbxxbc", true},
		{"", "", true},
		{"*", "", true},
		{"", "a", false},
	} {
		if got := (Alias{Pattern: tt.pattern}).Match(tt.s); got != tt.want {
			t.Errorf("Match(%q, %q) = %v; want %v", tt.pattern, tt.s, got, tt.want)
		}
	}
}

// FuzzMatch holds match against a plain recursive definition.
func FuzzMatch(f *testing.F) {
	f.Add("a*[b-d]?*_", "axxcz-")
	var slow func(p, s string) bool
	slow = func(p, s string) bool {
		if p == "" {
			return s == ""
		}
		if p[0] == '*' {
			return slow(p[1:], s) || s != "" && slow(p, s[1:])
		}
		if s == "" {
			return false
		}
		n, ok := matchOne(p, s[0])
		return ok && slow(p[n:], s[1:])
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 12 || len(s) > 12 {
			return
		}
		if got, want := match(p, s), slow(p, s); got != want {
			t.Errorf("match(%q, %q) = %v; want %v", p, s, got, want)
		}
	})
}
