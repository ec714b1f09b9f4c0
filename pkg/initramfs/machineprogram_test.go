package initramfs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/internal/rootfs"
)

// dynamicFile is an ELF file with an interpreter, if it is not "", and the entries of a dynamic section: pairs of
// tag and string.
func dynamicFile(machine elf.Machine, interpreter string, entries ...any) []byte {
	const at = 64 + 3*56
	strs, dynamic := []byte{0}, []elf.Dyn64{}
	for i := 0; i < len(entries); i += 2 {
		dynamic = append(dynamic, elf.Dyn64{Tag: int64(entries[i].(elf.DynTag)), Val: uint64(len(strs))})
		strs = append(append(strs, entries[i+1].(string)...), 0)
	}
	dynamic = append(dynamic, elf.Dyn64{})
	interp := append([]byte(interpreter), 0)
	names := []byte("\x00.dynstr\x00.dynamic\x00.shstrtab\x00")
	strAt := uint64(at + len(interp))
	dynAt := strAt + uint64(len(strs))
	namesAt := dynAt + uint64(16*len(dynamic))
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
		Shoff: namesAt + uint64(len(names)), Shentsize: 64, Shnum: 4, Shstrndx: 3}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	progs := []elf.Prog64{{Type: uint32(elf.PT_LOAD), Filesz: at, Memsz: at}, {Type: uint32(elf.PT_DYNAMIC), Off: dynAt, Filesz: uint64(16 * len(dynamic))}, {}}
	if interpreter != "" {
		progs[2] = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: at, Filesz: uint64(len(interp))}
		h.Phnum++
	}
	sections := []elf.Section64{{},
		{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: strAt, Size: uint64(len(strs))},
		{Name: 9, Type: uint32(elf.SHT_DYNAMIC), Off: dynAt, Size: uint64(16 * len(dynamic)), Link: 1, Entsize: 16},
		{Name: 18, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names))}}
	var b bytes.Buffer
	for _, part := range []any{h, progs, interp, strs, dynamic, names, sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// machineTree makes files in a directory: "-> target" is a link, what begins with "#!" or ELF is executable.
func machineTree(t *testing.T, files map[string]string) fs.FS {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.SortedFunc(mapsKeys(files), func(a, b string) int { return strings.Compare(b, a) }) {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		text, link := strings.CutPrefix(files[name], "-> ")
		var err error
		if link {
			err = os.Symlink(text, full)
		} else {
			err = os.WriteFile(full, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func mapsKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// debianTree is a merged /usr with a shell, a program that finds its libraries in each way, and scripts.
func debianTree() map[string]string {
	const linker = "/lib64/ld-linux-x86-64.so.2"
	const multiarch = "usr/lib/x86_64-linux-gnu/"
	amd64 := func(interpreter string, entries ...any) string {
		return string(dynamicFile(elf.EM_X86_64, interpreter, entries...))
	}
	return map[string]string{
		"bin": "-> usr/bin", "lib": "-> usr/lib", "lib64": "-> usr/lib64", "sbin": "-> usr/sbin", "usr/sbin/x": "",
		"usr/lib64/ld-linux-x86-64.so.2":      "-> ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		multiarch + "ld-linux-x86-64.so.2":    amd64(""),
		multiarch + "libc.so.6":               amd64(""),
		multiarch + "libtool.so.1":            "-> libtool.so.1.2.3",
		multiarch + "libtool.so.1.2.3":        amd64("", elf.DT_NEEDED, "libc.so.6", elf.DT_NEEDED, "libdeep.so"),
		multiarch + "libdeep.so":              amd64("", elf.DT_NEEDED, "libtool.so.1"), // a circle
		"usr/lib/libc.so.6":                   string(dynamicFile(elf.EM_386, "")),
		"usr/local/lib/libown.so":             amd64("", elf.DT_RPATH, "$ORIGIN/private", elf.DT_NEEDED, "libhidden.so"),
		"usr/local/lib/private/libhidden.so":  amd64("", elf.DT_NEEDED, "libhidden2.so"),
		"usr/local/lib/private/libhidden2.so": amd64(""),
		"etc/ld.so.conf":                      "include ld.so.conf.d/*.conf # all\n",
		"etc/ld.so.conf.d/a.conf":             "/usr/local/lib\n",
		"etc/ld.so.conf.d/b.conf":             "# Multiarch\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n",
		"etc/ld.so.cache":                     "a cache",
		"usr/bin/dash":                        amd64(linker, elf.DT_NEEDED, "libc.so.6"),
		"usr/bin/sh":                          "-> dash",
		"usr/bin/env":                         amd64(linker, elf.DT_NEEDED, "libc.so.6"),
		"usr/bin/tool":                        amd64(linker, elf.DT_NEEDED, "libtool.so.1", elf.DT_NEEDED, "libc.so.6"),
		"usr/bin/own":                         amd64(linker, elf.DT_NEEDED, "libown.so"),
		"opt/app/bin/app":                     amd64(linker, elf.DT_RUNPATH, "/nowhere:${ORIGIN}/../lib", elf.DT_NEEDED, "libapp.so"),
		"opt/app/lib/libapp.so":               amd64("", elf.DT_NEEDED, "libc.so.6"),
		"usr/bin/app":                         "-> /opt/app/bin/app",
		"usr/bin/lacks":                       amd64(linker, elf.DT_NEEDED, "libnone.so.3"),
		"usr/bin/arm":                         string(dynamicFile(elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1")),
		"usr/bin/static":                      amd64(""),
		"root/script":                         "#! /bin/sh -e\ntool\n",
		"root/env":                            "#!/usr/bin/env -S A=b tool -x\n",
		"root/envnone":                        "#!/usr/bin/env python9\n",
		"root/dos":                            "#!/bin/sh\r\n",
		"root/relative":                       "#!sh\n",
		"root/text":                           "echo\n",
		"root/loop":                           "#!/root/loop\n",
		"root/long":                           "#!/" + strings.Repeat("x", 300) + "\n",
		"root/none":                           "#!/bin/none\n",
	}
}

func TestPrograms(t *testing.T) {
	const base = "usr/bin/dash usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libc.so.6"
	for _, tt := range []struct{ name, program, want, err string }{
		{"script", "/root/script", "root/script " + base, ""},
		{"link", "/bin/sh", base, ""},
		{"static", "/usr/bin/static", "usr/bin/static", ""},
		{"libraries of libraries", "/usr/bin/tool", strings.Replace(base, "dash", "tool", 1) + " usr/lib/x86_64-linux-gnu/libdeep.so usr/lib/x86_64-linux-gnu/libtool.so.1.2.3", ""},
		{"cache", "/usr/bin/own", "etc/ld.so.cache usr/bin/own usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/local/lib/libown.so usr/local/lib/private/libhidden.so usr/local/lib/private/libhidden2.so", ""},
		{"origin", "/usr/bin/app", "opt/app/bin/app opt/app/lib/libapp.so usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libc.so.6", ""},
		{"env", "/root/env", "root/env usr/bin/env usr/bin/tool usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/libdeep.so usr/lib/x86_64-linux-gnu/libtool.so.1.2.3", ""},
		{"library missing", "/usr/bin/lacks", "", "/usr/bin/lacks needs the library libnone.so.3, which is not on this machine"},
		{"other architecture", "/usr/bin/arm", "", "is for EM_AARCH64"},
		{"env without", "/root/envnone", "", "there is no program python9"},
		{"carriage return", "/root/dos", "", "ends with a carriage return"},
		{"relative interpreter", "/root/relative", "", `interpreter "sh" is no absolute path`},
		{"no interpreter", "/root/text", "", "neither an ELF program nor a script"},
		{"loop", "/root/loop", "", "too many scripts"},
		{"long line", "/root/long", "", "over 256 bytes"},
		{"interpreter missing", "/root/none", "", "the interpreter of /root/none"},
		{"directory", "/root", "", "not a regular file"},
		{"missing", "/usr/bin/gone", "", "no such file"},
		{"relative", "usr/bin/dash", "", "no absolute path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(func(c *Config) {
				c.Modules, c.KernelVersion, c.Root = nil, "", nil
				c.Machine, c.Programs = machineTree(t, debianTree()), []string{tt.program}
			})
			var b bytes.Buffer
			r, err := Build(&b, c)
			if tt.err != "" {
				if !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), tt.err) || b.Len() > 0 {
					t.Errorf("Build: %v, %d bytes; want ErrProgram, %q", err, b.Len(), tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			links := map[string]bool{}
			for _, e := range r.Entries {
				if e.Mode.IsRegular() && e.Path != "init" && e.Path != ConfigPath {
					got = append(got, e.Path)
				}
				links[e.Path] = e.Mode&fs.ModeSymlink != 0
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("files = %s\nwant    %s", s, tt.want)
			}
			if name := path.Clean(tt.program)[1:]; !links[name] && !slices.Contains(got, name) {
				t.Errorf("there is no %s", tt.program)
			}
			if strings.Contains(tt.want, "ld-linux") && !links["lib64/ld-linux-x86-64.so.2"] {
				t.Error("there is no dynamic linker where programs look for it")
			}
		})
	}
}

// TestProgramsMusl: the linker is the C library too, and a file of its own says where libraries are.
func TestProgramsMusl(t *testing.T) {
	tree := machineTree(t, map[string]string{
		"lib/ld-musl-x86_64.so.1": string(dynamicFile(elf.EM_X86_64, "")), "etc/ld-musl-x86_64.path": "/lib\n/opt/lib\n",
		"bin/tool":          string(dynamicFile(elf.EM_X86_64, "/lib/ld-musl-x86_64.so.1", elf.DT_NEEDED, "libc.musl-x86_64.so.1", elf.DT_NEEDED, "libz.so.1")),
		"opt/lib/libz.so.1": string(dynamicFile(elf.EM_X86_64, "")),
	})
	r, err := Build(&bytes.Buffer{}, config(func(c *Config) {
		c.Modules, c.KernelVersion, c.Root = nil, "", nil
		c.Machine, c.Programs = tree, []string{"/bin/tool"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/tool", "lib/ld-musl-x86_64.so.1", "etc/ld-musl-x86_64.path", "opt/lib/libz.so.1"} {
		if !slices.ContainsFunc(r.Entries, func(e Entry) bool { return e.Path == name }) {
			t.Errorf("there is no /%s", name)
		}
	}
}

// TestProgramsThere: what was put in by name stays.
func TestProgramsThere(t *testing.T) {
	c := config(func(c *Config) {
		c.Modules, c.KernelVersion, c.Root = nil, "", nil
		c.Machine, c.Programs = machineTree(t, debianTree()), []string{"/root/script", "/root/script"}
		c.Files = []File{Bytes("bin/sh", 0o755, []byte("busybox"))}
	})
	_, r := build(t, c)
	for _, e := range r.Entries {
		if e.Path == "bin/sh" && (!e.Mode.IsRegular() || e.Size != int64(len("busybox"))) {
			t.Errorf("/bin/sh = %+v; want the file that was added", e)
		}
	}
}

// A first line that is taken names an interpreter that the kernel would take.
func FuzzScript(f *testing.F) {
	for _, s := range []string{"#!/bin/sh\n", "#! /bin/sh -e \n", "#!/bin/sh\r\n", "#!", "#!\n", "#!/x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		head = head[:min(len(head), interpreterLine)]
		name, argument, err := parseScript(head)
		if err != nil {
			return
		}
		if !path.IsAbs(name) || strings.ContainsAny(name, " \t\n\x00") || strings.ContainsAny(argument, "\n\r") && strings.HasSuffix(argument, "\r") {
			t.Errorf("parseScript(%q) = %q, %q", head, name, argument)
		}
		if !strings.Contains(string(head), name) || !strings.Contains(string(head), argument) {
			t.Errorf("parseScript(%q) = %q, %q: not in it", head, name, argument)
		}
	})
}

// Whatever is named as a program, the archive has it and all else under valid paths, or nothing is written.
func FuzzProgram(f *testing.F) {
	f.Add(dynamicFile(elf.EM_X86_64, "/lib64/ld.so", elf.DT_NEEDED, "libc.so.6", elf.DT_RUNPATH, "$ORIGIN/../lib:/x"), []byte("/usr/lib/a\ninclude *.conf\n"))
	f.Add(dynamicFile(elf.EM_X86_64, "/lib/ld-musl-x86_64.so.1", elf.DT_NEEDED, "/lib/../x"), []byte("include ../etc/ld.so.conf"))
	f.Add([]byte("#!/bin/p\n"), []byte{})
	f.Fuzz(func(t *testing.T, program, conf []byte) {
		library := dynamicFile(elf.EM_X86_64, "")
		tree := fstest.MapFS{"bin/p": {Data: program, Mode: 0o755}, "etc/ld.so.conf": {Data: conf}, "lib64/ld.so": {Data: library, Mode: 0o755},
			"lib/ld-musl-x86_64.so.1": {Data: library, Mode: 0o755}, "lib/libc.so.6": {Data: library}, "usr/lib/a/libc.so.6": {Data: library}}
		var b bytes.Buffer
		r, err := Build(&b, config(func(c *Config) {
			c.Modules, c.KernelVersion, c.Root = nil, "", nil
			c.Machine, c.Programs = tree, []string{"/bin/p"}
		}))
		if err != nil {
			if b.Len() > 0 {
				t.Errorf("%d bytes are written, and then %v", b.Len(), err)
			}
			return
		}
		found := false
		for _, e := range r.Entries {
			found = found || e.Path == "bin/p"
			if _, there := tree[e.Path]; e.Mode.IsRegular() && !there && e.Path != "init" && e.Path != ConfigPath {
				t.Errorf("/%s is no file of the machine", e.Path)
			}
		}
		if !found {
			t.Error("the program is not there")
		}
	})
}
