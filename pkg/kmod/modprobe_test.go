package kmod

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadModprobe(t *testing.T) {
	m := ReadModprobe(onDisk(t, map[string]string{
		"etc/modprobe.d/b.conf":           "# comment\n\n  # another\noptions nvme-core io_timeout=60\noptions\tnvme_core\tmulti\\\npath=0\nblacklist a-b\n",
		"usr/lib/modprobe.d/b.conf":       "options nvme_core masked=1\n",
		"lib/modprobe.d/a.conf":           "options nvme_core first=1\nsoftdep nvme pre: crc32c x: post: dm-mod\n",
		"run/modprobe.d/c.conf":           "install usb-storage /bin/true  \nalias my-disk nvme-core\nalias off\nnonsense here\n",
		"etc/modprobe.d/masked.conf":      "-> /dev/null",
		"usr/lib/modprobe.d/masked.conf":  "options masked x=1\n",
		"etc/modprobe.d/readme":           "options readme x=1\n",
		"etc/modprobe.d/dir.conf/x":       "",
		"usr/local/lib/modprobe.d/z.conf": "options z \"a b\"=c d='e'\noptions z",
	}))
	if want := map[string]string{"nvme_core": "first=1 io_timeout=60 multipath=0", "z": `"a b"=c d='e'`}; !maps.Equal(m.Options, want) {
		t.Errorf("Options = %q; want %q", m.Options, want)
	}
	if !m.Blacklist["a_b"] || len(m.Blacklist) != 1 || m.Install["usb_storage"] != "/bin/true" || len(m.Install) != 1 {
		t.Errorf("Blacklist = %v, Install = %v", m.Blacklist, m.Install)
	}
	if want := []Alias{{"my-disk", "nvme_core"}}; !slices.Equal(m.Aliases, want) {
		t.Errorf("Aliases = %v; want %v", m.Aliases, want)
	}
	if s := m.softdeps("nvme"); !slices.Equal(s.Pre, []string{"crc32c", "x:"}) || !slices.Equal(s.Post, []string{"dm-mod"}) {
		t.Errorf("softdeps(nvme) = %v", s)
	}
	notes := strings.Join(m.Notes, "\n")
	for _, want := range []string{"/run/modprobe.d/c.conf:3: ", "/run/modprobe.d/c.conf:4: not a line of modprobe.d(5); it is passed over: nonsense here", "/usr/local/lib/modprobe.d/z.conf:2: "} {
		if !strings.Contains(notes, want) {
			t.Errorf("Notes = %q; want %q", notes, want)
		}
	}
	if len(m.Notes) != 3 {
		t.Errorf("Notes = %q; want 3", m.Notes)
	}
}

// configured is a tree with modprobe.d.
func configured(t *testing.T, conf string) *Tree {
	t.Helper()
	root := packed(t)
	files := map[string]string{"etc/modprobe.d/x.conf": conf}
	for name, f := range root {
		files[name] = string(f.Data)
	}
	tree, err := Open(onDisk(t, files), testVersion)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestClosureConfigured(t *testing.T) {
	plain, err := configured(t, "").Closure([]string{"ext4"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := func(needed []Needed) (names []string) {
		for _, n := range needed {
			names = append(names, n.Name)
		}
		return names
	}
	all := configured(t, "").Names()
	other := ""
	for _, n := range all {
		if !slices.Contains(name(plain), n) {
			other = n
		}
	}
	if other == "" {
		t.Fatal("the tree has no module that ext4 does without")
	}
	soft, err := configured(t, "softdep ext4 pre: "+other+" word: there-is-none\nalias my-fs ext4\n").Closure([]string{"my-fs"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := name(soft)
	if i, j := slices.Index(names, other), slices.Index(names, "ext4"); i < 0 || j < i {
		t.Errorf("Closure(my-fs) = %q; want ext4 for the alias, and %s before it", names, other)
	}
}

// What kmod itself makes of a configuration, where it is there.
func TestModprobeBesideKmod(t *testing.T) {
	modprobe, err := exec.LookPath("modprobe")
	if err != nil {
		modprobe = "/sbin/modprobe"
	}
	if _, err := os.Stat(modprobe); err != nil {
		t.Skip("kmod is not installed: ", err)
	}
	dir := t.TempDir()
	conf := "options nvme-core io_timeout=60\n  # x\noptions nvme_core \"a b\"=c\\\nd\nblacklist foo-bar\noptions nvme_core\tz=1 # no comment\nbad line\ninstall usb-storage /bin/true x\nalias my-d* ext4\nsoftdep ext4 x pre: a b: c\n"
	if err := os.WriteFile(filepath.Join(dir, "x.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(modprobe, "-C", dir, "-d", dir, "-c").Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := ParseModprobe("kmod", slices.Concat([]byte{}, section(out)))
	ours := ParseModprobe("x.conf", []byte(conf))
	maps.DeleteFunc(theirs.Options, func(name, _ string) bool { return ours.Options[name] == "" }) // of this machine's command line
	if !maps.Equal(ours.Options, theirs.Options) || !maps.Equal(ours.Blacklist, theirs.Blacklist) || !maps.Equal(ours.Install, theirs.Install) {
		t.Errorf("ours %+v\nkmod's %+v\n%s", ours, theirs, out)
	}
	a, b := ours.softdeps("ext4"), theirs.softdeps("ext4")
	if !slices.Equal(a.Pre, b.Pre) || !slices.Equal(a.Post, b.Post) {
		t.Errorf("softdep: ours %v, kmod's %v\n%s", a, b, out)
	}
}

// section is the configuration in modprobe -c, before the indexes.
func section(out []byte) []byte {
	s, _, _ := strings.Cut(string(out), "\n# End of configuration")
	return []byte(s)
}

// FuzzParseModprobe: what was understood, written anew, is understood the same, and no value has a
// line break, which would make another line of the modules' list.
func FuzzParseModprobe(f *testing.F) {
	f.Add("options nvme-core io_timeout=60\\\nx=1\nblacklist a-b\ninstall c /bin/true\nalias d* e\nsoftdep f pre: g h: post: i\n# x\nnonsense\n")
	f.Fuzz(func(t *testing.T, s string) {
		m := ParseModprobe("x", []byte(s))
		var b strings.Builder
		for name, v := range m.Options {
			if strings.ContainsAny(v, "\n\x00") || v == "" {
				t.Fatalf("options %s: %q", name, v)
			}
			b.WriteString("options " + name + " " + v + "\n")
		}
		for name := range m.Blacklist {
			b.WriteString("blacklist " + name + "\n")
		}
		for name, v := range m.Install {
			b.WriteString("install " + name + " " + v + "\n")
		}
		for _, a := range m.Aliases {
			b.WriteString("alias " + a.Pattern + " " + a.Module + "\n")
		}
		if strings.Contains(b.String(), "\\\n") {
			return // the next line would belong to it
		}
		again := ParseModprobe("x", []byte(b.String()))
		if !maps.Equal(again.Options, m.Options) || !maps.Equal(again.Blacklist, m.Blacklist) || !maps.Equal(again.Install, m.Install) || !slices.Equal(again.Aliases, m.Aliases) {
			t.Fatalf("ParseModprobe(%q) = %+v; want %+v", b.String(), again, m)
		}
	})
}
