package kmod

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseList(t *testing.T) {
	const head = "gokexec-modules 1 6.1\n"
	tests := []struct {
		name, input string
		want        *List
		wantErr     string
	}{
		{"none", head, &List{Kernel: "6.1"}, ""},
		{"some", head + "require a lib/a.ko\noptional b lib/b.ko.xz x=1 y=\"2 3\"\n",
			&List{"6.1", []Entry{{Name: "a", Path: "lib/a.ko"}, {"b", "lib/b.ko.xz", `x=1 y="2 3"`, true}}}, ""},
		{"empty", "", nil, "does not end with a line break"},
		{"torn", head + "require a lib/a", nil, "does not end with a line break"},
		{"other version", "gokexec-modules 2 6.1\n", nil, "line 1"},
		{"no kernel", "gokexec-modules 1 \n", nil, "line 1"},
		{"other word", head + "load a lib/a.ko\n", nil, `line 2: "load a lib/a.ko" is not`},
		{"no path", head + "require a\n", nil, "line 2"},
		{"absolute path", head + "require a /lib/a.ko\n", nil, `line 2: module a: bad path "/lib/a.ko"`},
		{"path leaves", head + "require a ../a.ko\n", nil, "line 2: module a: bad path"},
		{"twice", head + "require a a.ko\nrequire a b.ko\n", nil, "line 3: module a is in it twice"},
		{"empty line", head + "\n", nil, "line 2"},
		{"CR", head + "require a a.ko\r\n", nil, "line 2: module a: bad path"},
		{"space at the end", head + "require a a.ko \n", nil, "line 2: space at the end"},
		{"long line", head + "require a a.ko " + strings.Repeat("x", maxListLine) + "\n", nil, "line 2: bufio.Scanner: token too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseList([]byte(tt.input))
			checkErr(t, "ParseList", err, tt.wantErr)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseList(%q) = %+v; want %+v", tt.input, got, tt.want)
			}
		})
	}
}

func TestAppendTextRefuses(t *testing.T) {
	ok := Entry{Name: "a", Path: "a.ko"}
	for _, l := range []List{
		{Kernel: ""}, {Kernel: "6.1 x"}, {Kernel: "6.1", Entries: []Entry{ok, ok}},
		{Kernel: "6.1", Entries: []Entry{{Name: "a-b", Path: "a.ko"}}},
		{Kernel: "6.1", Entries: []Entry{{Name: "a", Path: "a b.ko"}}},
		{Kernel: "6.1", Entries: []Entry{{Name: "a", Path: "a.ko", Params: "x\nrequire b b.ko"}}},
	} {
		if b, err := l.AppendText(nil); err == nil {
			t.Errorf("AppendText(%+v) = %q; want an error", l, b)
		}
	}
}

// FuzzParseList: what is read is written back byte for byte.
func FuzzParseList(f *testing.F) {
	f.Add("gokexec-modules 1 6.1\nrequire a lib/a.ko\noptional b lib/b.ko.xz x=1\n")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseList([]byte(s))
		if err != nil {
			return
		}
		got, err := l.AppendText(nil)
		if err != nil || string(got) != s {
			t.Fatalf("AppendText(ParseList(%q)) = %q, %v", s, got, err)
		}
	})
}

// FuzzAppendText: what is written is read back.
func FuzzAppendText(f *testing.F) {
	f.Add("6.1", "a", "lib/a.ko", "x=1", true)
	f.Fuzz(func(t *testing.T, kernel, name, path, params string, optional bool) {
		l := &List{Kernel: kernel, Entries: []Entry{{name, path, params, optional}}}
		b, err := l.AppendText(nil)
		if err != nil {
			return
		}
		got, err := ParseList(b)
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Fatalf("ParseList(%q) = %+v, %v; want %+v", b, got, err, l)
		}
	})
}

func TestReadList(t *testing.T) {
	root := fstest.MapFS{ListPath: {Data: []byte("gokexec-modules 1 6.1\nrequire a a.ko\n")}}
	if l, err := ReadList(root); err != nil || len(l.Entries) != 1 {
		t.Errorf("ReadList = %+v, %v", l, err)
	}
	_, err := ReadList(fstest.MapFS{})
	checkErr(t, "ReadList", err, "/etc")
}

func TestAddCmdline(t *testing.T) {
	for _, tt := range []struct{ cmdline, want string }{
		{"quiet nr_cpus=1", "x=0"},
		{"nvme-core.io_timeout=60 nvme_core.flag", "x=0 io_timeout=60 flag"},
		{`nvme_core.s="a b" other.y=1`, `x=0 s="a b"`},
		{`"nvme_core.s=a b"`, `x=0 s="a b"`},
		{"init=/x -- nvme_core.y=1", "x=0"},
	} {
		l := List{Kernel: "6.1", Entries: []Entry{{Name: "nvme_core", Path: "a.ko", Params: "x=0"}}}
		l.AddCmdline(tt.cmdline)
		if got := l.Entries[0].Params; got != tt.want {
			t.Errorf("AddCmdline(%s): %s; want %s", tt.cmdline, got, tt.want)
		}
	}
}
