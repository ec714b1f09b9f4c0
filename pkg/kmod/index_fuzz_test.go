package kmod

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func FuzzParseAlias(f *testing.F) {
	f.Add("# x\nalias fs-ext4 ext4\nalias dmi:*svn Some Vendor* x-y\n")
	f.Fuzz(func(t *testing.T, s string) {
		aliases, err := ParseAlias([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for _, a := range aliases {
			b.WriteString("alias " + a.Pattern + " " + a.Module + "\n")
		}
		again, err := ParseAlias([]byte(b.String()))
		if err != nil || !slices.Equal(again, aliases) {
			t.Fatalf("ParseAlias(%q) = %v, %v; want %v", b.String(), again, err, aliases)
		}
	})
}

func FuzzParseBuiltinAlias(f *testing.F) {
	f.Add(modinfo("ext4.alias=fs-ext4", "a-b.alias=x=y", "c.license=GPL"))
	f.Fuzz(func(t *testing.T, b []byte) {
		aliases := ParseBuiltinAlias(b)
		var entries []string
		for _, a := range aliases {
			entries = append(entries, a.Module+".alias="+a.Pattern)
		}
		if again := ParseBuiltinAlias(modinfo(entries...)); !slices.Equal(again, aliases) {
			t.Fatalf("ParseBuiltinAlias(%q) = %v; want %v", entries, again, aliases)
		}
	})
}

func FuzzParseWeakdep(f *testing.F) {
	f.Add("weakdep a-b c d\nweakdep a_b e\n")
	f.Fuzz(func(t *testing.T, s string) {
		weak, err := ParseWeakdep([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for name, names := range weak {
			b.WriteString("weakdep " + name + " " + strings.Join(names, " ") + "\n")
		}
		again, err := ParseWeakdep([]byte(b.String()))
		if err != nil || !maps.EqualFunc(again, weak, slices.Equal) {
			t.Fatalf("ParseWeakdep(%q) = %v, %v; want %v", b.String(), again, err, weak)
		}
	})
}

func FuzzParseBuiltin(f *testing.F) {
	f.Add("kernel/fs/binfmt-x.ko\nkernel/b.ko\n")
	f.Fuzz(func(t *testing.T, s string) {
		builtin, err := ParseBuiltin([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for name := range builtin {
			b.WriteString("kernel/" + name + ".ko\n")
		}
		again, err := ParseBuiltin([]byte(b.String()))
		if err != nil || !reflect.DeepEqual(again, builtin) {
			t.Fatalf("ParseBuiltin(%q) = %v, %v; want %v", b.String(), again, err, builtin)
		}
	})
}
