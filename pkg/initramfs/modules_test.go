package initramfs

import (
	"bytes"
	"debug/elf"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/kmod"
)

// member returns the contents of a member, nil if it is not there.
func member(t *testing.T, archive []byte, name string) []byte {
	t.Helper()
	for _, r := range records(t, archive) {
		if r.Name == name {
			return contents(t, r)
		}
	}
	return nil
}

// Options of modprobe.d are in the list, before the caller's own; install commands are said.
func TestBuildModprobe(t *testing.T) {
	root := sysroot(x86Config)
	root["etc/modprobe.d/a.conf"] = &fstest.MapFile{Data: []byte("options nvme-core io_timeout=4294967295\noptions nvme_core multipath=0\ninstall nvme /bin/true\nrubbish\n")}
	root["usr/lib/modprobe.d/a.conf"] = &fstest.MapFile{Data: []byte("options nvme_core masked=1\n")}
	archive, report := build(t, config(func(c *Config) {
		c.Root, c.ModuleParams = root, map[string]string{"nvme-core": "io_timeout=30"}
	}))
	list, err := kmod.ParseList(member(t, archive, kmod.ListPath))
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Entries) != 2 || list.Entries[0].Params != "io_timeout=4294967295 multipath=0 io_timeout=30" || list.Entries[1].Params != "" {
		t.Errorf("modules' list = %+v; want the options of nvme_core", list.Entries)
	}
	if len(report.Notes) != 2 || !strings.Contains(report.Notes[0], "install command for nvme") || !strings.Contains(report.Notes[1], "/etc/modprobe.d/a.conf:4: ") {
		t.Errorf("Notes = %q", report.Notes)
	}
}

// Firmware that .modinfo names is where the kernel looks for it, in a form it can load; what is missing
// is said.
func TestBuildFirmware(t *testing.T) {
	const dir = "usr/lib/firmware/"
	xz, zst := packed(t, "xz", []byte("two")), packed(t, "zstd", []byte("three"))
	for _, tt := range []struct {
		name, config string
		want         map[string]string
	}{
		{"unpacked for a kernel that loads plain files only", x86Config, map[string]string{"a/one.bin": "one", "two.bin": "two", "three.bin": "three", "four.fw": "new", "g1.bin": "g1", "g2.bin": "g2"}},
		{"packed where the kernel unpacks", x86Config + "CONFIG_FW_LOADER_COMPRESS_XZ=y\nCONFIG_FW_LOADER_COMPRESS_ZSTD=y\n",
			map[string]string{"a/one.bin": "one", "two.bin.xz": string(xz), "three.bin.zst": string(zst), "four.fw": "new", "g1.bin": "g1", "g2.bin": "g2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := sysroot(tt.config)
			for name, data := range map[string][]byte{
				"a/one.bin": []byte("one"), "two.bin.xz": xz, "three.bin.zst": zst, "four.fw": []byte("old"), "updates/" + version + "/four.fw": []byte("new"),
				"g1.bin": []byte("g1"), "g2.bin": []byte("g2"), "other.bin": []byte("x"), "two.bin.d/x": nil,
			} {
				root[dir+name] = &fstest.MapFile{Data: data}
			}
			root["usr/lib/modules/"+version+"/kernel/qla.ko"] = &fstest.MapFile{Data: module(elf.EM_X86_64, "name=qla", "vermagic="+version+" SMP ",
				"firmware=a/one.bin", "firmware=two.bin", "firmware=three.bin", "firmware=four.fw", "firmware=g[12].bin", "firmware=gone.bin", "firmware=../../../etc/shadow", "firmware=")}
			root["etc/shadow"] = &fstest.MapFile{Data: []byte("secret")}
			archive, report := build(t, config(func(c *Config) { c.Root, c.Modules = root, []string{"qla", "nvme"} }))
			got := map[string]string{}
			for _, r := range records(t, archive) {
				if name, ok := strings.CutPrefix(r.Name, "lib/firmware/"); ok && r.Mode&0o170000 == 0o100000 {
					got[name] = string(contents(t, r))
				}
			}
			for name, want := range tt.want {
				if got[name] != want {
					t.Errorf("firmware %s = %q; want %q", name, got[name], want)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("%d firmware files; want %d", len(got), len(tt.want))
			}
			if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "module qla names firmware that is not in /lib/firmware: gone.bin, ../../../etc/shadow;") {
				t.Errorf("Notes = %q; want what is missing", report.Notes)
			}
		})
	}
}

// One odd module is no reason to refuse a tree, nor one that was taken before by kmod.
func TestBuildOddModinfo(t *testing.T) {
	root := sysroot(x86Config)
	dir := "usr/lib/modules/" + version + "/"
	root[dir+"kernel/nvme-core.ko"] = &fstest.MapFile{Data: module(elf.EM_X86_64, "alias=", "name=other", "depends=,", "softdep=pre: x: y", "oddity", "vermagic="+version+" SMP ")}
	root[dir+"kernel/broken.ko"] = &fstest.MapFile{Data: []byte("no module at all")}
	var b bytes.Buffer
	report, err := Build(&b, config(func(c *Config) { c.Root, c.Modules = root, []string{"nvme"} }))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range report.Modules {
		names = append(names, m.Name)
	}
	if !slices.Equal(names, []string{"nvme_core", "nvme"}) {
		t.Errorf("modules = %q; want nvme_core, nvme", names)
	}
	if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "broken.ko") {
		t.Errorf("Notes = %q; want the module that can't be read", report.Notes)
	}
}
