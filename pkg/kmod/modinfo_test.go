package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

func TestParseModinfo(t *testing.T) {
	tests := []struct {
		name  string
		input []byte
		want  Modinfo
	}{
		{"empty", nil, Modinfo{}},
		{"all", modinfo("license=GPL", "", "name=nvme-core", "depends=nvme-auth,t10_pi", "alias=a", "alias=b=c",
			"softdep=pre: x post: y", "weakdep=w v", "vermagic=6.1 SMP ", "firmware=ql2700_fw.bin"),
			Modinfo{Name: "nvme_core", Vermagic: "6.1 SMP ", Depends: []string{"nvme_auth", "t10_pi"}, Aliases: []string{"a", "b=c"},
				Soft: Softdep{[]string{"x"}, []string{"y"}}, Weak: []string{"w", "v"}, Firmware: []string{"ql2700_fw.bin"}}},
		{"depends on nothing", modinfo("depends="), Modinfo{}},
		{"no NUL", []byte("name=a\x00depends=b"), Modinfo{Name: "a", Depends: []string{"b"}}},
		{"no value", modinfo("license", "alias", "name=a"), Modinfo{Name: "a"}},
		{"no key", modinfo("=x"), Modinfo{}},
		{"empty values", modinfo("alias=", "firmware=", "softdep=", "name="), Modinfo{}},
		{"two names", modinfo("name=a", "name=b"), Modinfo{Name: "a"}},
		{"odd name", modinfo("name=a/b"), Modinfo{}},
		{"odd dependencies", modinfo("depends=a,,b, c/d,e"), Modinfo{Depends: []string{"a", "b", "e"}}},
		{"odd softdep", modinfo("softdep=x: y pre: z: post:"), Modinfo{Soft: Softdep{Pre: []string{"z:"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseModinfo(tt.input); !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("ParseModinfo(%q) = %+v; want %+v", tt.input, *got, tt.want)
			}
		})
	}
}

func TestReadModinfo(t *testing.T) {
	good := ko(binary.BigEndian, elf.EM_S390, "name=x", "depends=y")
	patch := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	tests := []struct {
		name    string
		input   []byte
		signed  bool
		wantErr string
	}{
		{"big endian", good, false, ""},
		{"signed", append(bytes.Clone(good), "sig~Module signature appended~\n"...), true, ""},
		{"empty", nil, false, "not a kernel module"},
		{"text", []byte(strings.Repeat("hello", 50)), false, "not a kernel module"},
		{"program", patch(16, 0, 2), false, "ELF type ET_EXEC; want ET_REL"},
		{"truncated", good[:len(good)-10], false, "not a kernel module"},
		{"no section", bytes.Replace(good, []byte(".modinfo"), []byte(".modxxxx"), 1), false, "no .modinfo section"},
		{"section past the end", patch(len(good)-2*64+24, 0, 0, 0, 0, 0, 0xff, 0, 0), false, "section .modinfo: offset 0xff0000"},
		{"compressed section", patch(len(good)-2*64+8, 0, 0, 0, 0, 0, 0, 8, 0), false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadModinfo(bytes.NewReader(tt.input), int64(len(tt.input)))
			if tt.name == "compressed section" {
				if err == nil {
					t.Fatal("ReadModinfo takes a compressed .modinfo")
				}
				return
			}
			checkErr(t, "ReadModinfo", err, tt.wantErr)
			if err != nil {
				return
			}
			want := &Modinfo{Name: "x", Depends: []string{"y"}, Signed: tt.signed, Machine: elf.EM_S390, Class: elf.ELFCLASS64, Order: elf.ELFDATA2MSB}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("ReadModinfo = %+v; want %+v", got, want)
			}
		})
	}
}

func TestCheckKernel(t *testing.T) {
	for _, tt := range []struct{ vermagic, want string }{
		{"6.12.0-test SMP mod_unload", ""},
		{"", ""},
		{"6.11.0 SMP mod_unload modversions ", ""},
		{"6.11.0 SMP mod_unload ", `built for kernel "6.11.0"; want "6.12.0-test"`},
	} {
		checkErr(t, "CheckKernel("+tt.vermagic+")", (&Modinfo{Vermagic: tt.vermagic}).CheckKernel(testVersion), tt.want)
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add(modinfo("name=a", "depends=b,c", "alias=*", "softdep=pre: d"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mi := ParseModinfo(b)
		// What was understood, written anew, is understood the same.
		var lines []string
		if mi.Name != "" {
			lines = append(lines, "name="+mi.Name)
		}
		lines = append(lines, "vermagic="+mi.Vermagic, "depends="+strings.Join(mi.Depends, ","),
			"softdep=pre: "+strings.Join(mi.Soft.Pre, " ")+" post: "+strings.Join(mi.Soft.Post, " "), "weakdep="+strings.Join(mi.Weak, " "))
		for _, a := range mi.Aliases {
			lines = append(lines, "alias="+a)
		}
		for _, name := range mi.Firmware {
			lines = append(lines, "firmware="+name)
		}
		if again := ParseModinfo(modinfo(lines...)); !reflect.DeepEqual(again, mi) {
			t.Fatalf("ParseModinfo(%q) = %+v; want %+v", lines, again, mi)
		}
	})
}

// FuzzReadModinfo: whatever the ELF headers say, the section's entries are
// bytes of the file.
func FuzzReadModinfo(f *testing.F) {
	f.Add(ko(binary.LittleEndian, elf.EM_X86_64, "name=a", "depends=b", "alias=c"))
	f.Add(ko(binary.BigEndian, elf.EM_S390, "name=a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mi, err := ReadModinfo(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, a := range mi.Aliases {
			if !bytes.Contains(b, []byte("alias="+a)) {
				t.Errorf("alias %q is not in the file", a)
			}
		}
	})
}

func TestUnpack(t *testing.T) {
	image := x86("a", "b")
	for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
		file := pack(t, ext, image)
		got, err := Unpack(file)
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("Unpack(%q) = %d bytes, %v; want %d bytes", ext, len(got), err, len(image))
		}
		if p := PackingOf(file); p.Ext() != ext {
			t.Errorf("PackingOf(%q).Ext() = %q", ext, p.Ext())
		}
		if ext == "" {
			continue
		}
		_, err = Unpack(file[:len(file)-5])
		checkErr(t, "Unpack(truncated "+ext+")", err, "unpack ")
		_, err = unpack(file, int64(len(image))-1)
		checkErr(t, "unpack("+ext+")", err, "too large")
	}
}
