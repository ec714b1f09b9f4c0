package initramfs

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/u-root/u-root/pkg/cpio" // an independent reader and writer of archives
	"github.com/ulikunitz/xz"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/gokexec/gokexec/pkg/kmod"
)

const version = "6.12.0-test"

// program returns a minimal ELF64 program: a PT_LOAD, and another segment if
// extra is not 0.
func program(machine elf.Machine, extra elf.ProgType) []byte {
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64,
		Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	progs := []elf.Prog64{{Type: uint32(elf.PT_LOAD), Filesz: 64, Memsz: 64}}
	if extra != 0 {
		progs = append(progs, elf.Prog64{Type: uint32(extra), Filesz: 8})
		h.Phnum++
	}
	var b bytes.Buffer
	if err := errors.Join(binary.Write(&b, binary.LittleEndian, h), binary.Write(&b, binary.LittleEndian, progs)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// sysroot has two modules and a configuration with the given options.
func sysroot(config string) fstest.MapFS {
	dir := "usr/lib/modules/" + version + "/"
	magic := "vermagic=" + version + " SMP "
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(imagetest.Module(elf.EM_X86_64, "name=nvme", "depends=nvme-core", magic, "pad="+strings.Repeat("x", 5000)))
	w.Close()
	root := fstest.MapFS{
		dir + "kernel/nvme.ko.gz":   {Data: packed.Bytes()},
		dir + "kernel/nvme-core.ko": {Data: imagetest.Module(elf.EM_X86_64, "name=nvme_core", "depends=", magic)},
		dir + "kernel/stale.ko":     {Data: imagetest.Module(elf.EM_X86_64, "name=stale", "depends=", "vermagic=6.11 SMP ")},
		dir + "kernel/arm.ko":       {Data: imagetest.Module(elf.EM_AARCH64, "name=arm", "depends=", magic)},
	}
	if config != "" {
		root["boot/config-"+version] = &fstest.MapFile{Data: []byte(config)}
	}
	return root
}

const x86Config = "# Linux\nCONFIG_64BIT=y\nCONFIG_X86_64=y\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n# CONFIG_RD_XZ is not set\nCONFIG_NLS=m\n"

// config is a configuration that Build takes.
func config(change func(*Config)) Config {
	init := program(elf.EM_X86_64, 0)
	c := Config{
		Root: sysroot(x86Config), KernelVersion: version,
		Init: bytes.NewReader(init), InitSize: int64(len(init)),
		Modules: []string{"nvme"}, Settings: []byte("{}\n"), Compression: None,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func build(t *testing.T, c Config) ([]byte, *Report) {
	t.Helper()
	var b bytes.Buffer
	r, err := Build(&b, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size != int64(b.Len()) {
		t.Errorf("Report.Size = %d; wrote %d", r.Size, b.Len())
	}
	return b.Bytes(), r
}

func records(t *testing.T, b []byte) []cpio.Record {
	t.Helper()
	all, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func contents(t *testing.T, r cpio.Record) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuild(t *testing.T) {
	c := config(func(c *Config) {
		c.ModuleParams = map[string]string{"nvme-core": "io_timeout=60"}
		c.Files = []File{
			Bytes("etc/extra", 0o640, []byte("hello")), {Path: "bin/sh", Mode: fs.ModeSymlink, Target: "/init"},
			{Path: "var/empty", Mode: fs.ModeDir | 0o700}, {Path: "etc/none"},
		}
	})
	b, report := build(t, c)
	var got []string
	files := map[string]string{}
	for i, r := range records(t, b) {
		if r.UID != 0 || r.GID != 0 || r.MTime != 0 || r.Ino != uint64(i+1) {
			t.Errorf("%s: uid %d, gid %d, mtime %d, ino %d", r.Name, r.UID, r.GID, r.MTime, r.Ino)
		}
		got = append(got, fmt.Sprintf("%o %s %d:%d", r.Mode, r.Name, r.Rmajor, r.Rminor))
		files[r.Name] = string(contents(t, r))
		if e := report.Entries[i]; e.Path != r.Name || e.Size != int64(r.FileSize) {
			t.Errorf("Report.Entries[%d] = %+v; want %s", i, e, r.Name)
		}
	}
	want := []string{
		"40755 bin 0:0", "120777 bin/sh 0:0", "40755 dev 0:0", "20600 dev/console 5:1", "20666 dev/null 1:3",
		"40755 etc 0:0", "100640 etc/extra 0:0", "40755 etc/gokexec 0:0", "100600 etc/gokexec/capture.json 0:0",
		"100644 etc/gokexec/modules.list 0:0", "100644 etc/none 0:0", "100755 init 0:0", "40755 lib 0:0", "40755 lib/modules 0:0",
		"40755 lib/modules/6.12.0-test 0:0", "100644 lib/modules/6.12.0-test/nvme.ko.gz 0:0", "100644 lib/modules/6.12.0-test/nvme_core.ko 0:0",
		"40755 mnt 0:0", "40555 proc 0:0", "40700 root 0:0", "40755 run 0:0", "40555 sys 0:0", "41777 tmp 0:0", "40755 var 0:0", "40700 var/empty 0:0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("archive:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantList := "gokexec-modules 1 6.12.0-test\n" +
		"require nvme_core lib/modules/6.12.0-test/nvme_core.ko io_timeout=60\n" +
		"require nvme lib/modules/6.12.0-test/nvme.ko.gz\n"
	for name, want := range map[string]string{
		"init": string(program(elf.EM_X86_64, 0)), ConfigPath: "{}\n", "etc/extra": "hello", "bin/sh": "/init", kmod.ListPath: wantList,
		"lib/modules/6.12.0-test/nvme.ko.gz": string(sysroot("")["usr/lib/modules/"+version+"/kernel/nvme.ko.gz"].Data),
	} {
		if files[name] != want {
			t.Errorf("/%s: %q; want %q", name, files[name], want)
		}
	}
	if report.Unpacked != report.Size || report.Compression != None || len(report.Modules) != 2 {
		t.Errorf("Report = %+v", report)
	}
}

func TestBuildUnpacksModules(t *testing.T) {
	b, _ := build(t, config(func(c *Config) { c.UnpackModules = true }))
	for _, r := range records(t, b) {
		if strings.HasSuffix(r.Name, "/nvme.ko") && bytes.HasPrefix(contents(t, r), []byte("\x7fELF")) {
			return
		}
	}
	t.Error("no unpacked nvme.ko in the archive")
}

// TestBuildLoads closes the circle: what Build writes, kmod loads.
func TestBuildLoads(t *testing.T) {
	b, _ := build(t, config(nil))
	root := fstest.MapFS{}
	for _, r := range records(t, b) {
		if r.Mode&cpio.S_IFMT == cpio.S_IFREG {
			root[r.Name] = &fstest.MapFile{Data: contents(t, r)}
		}
	}
	list, err := kmod.ReadList(root)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{}
	if err := kmod.Load(t.Context(), k, root, list, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"nvme_core", "nvme"}; !slices.Equal(k.loaded, want) {
		t.Errorf("loaded %v; want %v", k.loaded, want)
	}
}

type kernel struct{ loaded []string }

func (k *kernel) InitModule(image []byte, _ string) error {
	mi, err := kmod.ReadModinfo(bytes.NewReader(image), int64(len(image)))
	if err == nil {
		k.loaded = append(k.loaded, mi.Name)
	}
	return err
}

func (k *kernel) FinitModule(int, string, int) error { return errors.New("not from memory") }

func TestBuildReproducible(t *testing.T) {
	files := []File{Bytes("a/x", 0o644, []byte("1")), Bytes("a/y", 0o644, []byte("2")), Bytes("b", 0o600, nil), {Path: "a", Mode: fs.ModeDir | 0o711}}
	for _, comp := range []Compression{None, Gzip, XZ, Zstd, LZ4} {
		var first []byte
		for i := range 3 {
			c := config(func(c *Config) {
				c.Root, c.Compression, c.Files = sysroot("CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\nCONFIG_RD_LZ4=y\n"), comp, slices.Clone(files)
				if i == 1 {
					slices.Reverse(c.Files)
				}
			})
			b, _ := build(t, c)
			if first == nil {
				first = b
			}
			if !bytes.Equal(b, first) {
				t.Errorf("%s: build %d differs from the first", comp, i)
			}
		}
	}
}

func TestBuildCompression(t *testing.T) {
	plain, _ := build(t, config(nil))
	for _, comp := range []Compression{Gzip, XZ, Zstd, LZ4} {
		b, report := build(t, config(func(c *Config) { c.Root = sysroot(""); c.Compression = comp }))
		var r io.Reader
		var err error
		switch comp {
		case Gzip:
			r, err = gzip.NewReader(bytes.NewReader(b))
		case XZ:
			// Stream flags (xz-file-format 2.1.1.2): check type 1 is CRC32.
			if !bytes.HasPrefix(b, []byte("\xfd7zXZ\x00\x00\x01")) {
				t.Errorf("xz: header %x; want check type CRC32", b[:8])
			}
			r, err = xz.NewReader(bytes.NewReader(b))
		case Zstd:
			r, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(window))
		case LZ4:
			if !bytes.HasPrefix(b, []byte{0x02, 0x21, 0x4c, 0x18}) {
				t.Errorf("lz4: header %x; want that of a legacy frame", b[:4])
			}
			r = lz4.NewReader(bytes.NewReader(b))
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes, %v; want the %d of the plain archive", comp, len(got), err, len(plain))
		}
		if report.Unpacked != int64(len(plain)) || report.Compression != comp {
			t.Errorf("%s: Report = %+v", comp, report)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	set := func(b []byte) func(*Config) {
		return func(c *Config) { c.Init, c.InitSize = bytes.NewReader(b), int64(len(b)) }
	}
	long := bytes.Clone(program(elf.EM_X86_64, 0))
	binary.LittleEndian.PutUint64(long[64+32:], 1<<20)
	files := func(f ...File) func(*Config) { return func(c *Config) { c.Files = f } }
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no init", func(c *Config) { c.Init = nil }, "Config.Init is nil"},
		{"text", set([]byte("#!/bin/sh\n")), "/init: not an ELF program"},
		{"dynamic", set(program(elf.EM_X86_64, elf.PT_INTERP)), "/init: not a static program: it has a PT_INTERP header"},
		{"other machine", set(program(elf.EM_AARCH64, 0)), "/init: it is for EM_AARCH64, ELFCLASS64, ELFDATA2LSB; kernel 6.12.0-test is for EM_X86_64"},
		{"truncated", set(long), "truncated: a PT_LOAD"},
		{"module as init", set(imagetest.Module(elf.EM_X86_64, "name=x")), "not a program: ELF type ET_REL"},
		{"unknown module", func(c *Config) { c.Modules = []string{"nvmf"} }, `module "nvmf": no such module in kernel 6.12.0-test`},
		{"stale module", func(c *Config) { c.Modules = []string{"stale"} }, `kernel/stale.ko: built for kernel "6.11"`},
		{"module of another machine", func(c *Config) { c.Modules = []string{"arm"} }, "kernel/arm.ko: it is for EM_AARCH64"},
		{"modules without a kernel", func(c *Config) { c.KernelVersion = "" }, "modules, but no kernel version"},
		{"other kernel", func(c *Config) { c.KernelVersion = "6.1" }, "kernel 6.1: no modules of this kernel version"},
		{"no root", func(c *Config) { c.Root = nil }, "Config.Root is nil"},
		{"params without module", func(c *Config) { c.ModuleParams = map[string]string{"zz": "x", "aa": "y"} }, `parameters for modules that are not in it: ["aa" "zz"]`},
		{"params with line break", func(c *Config) { c.ModuleParams = map[string]string{"nvme": "x\ny"} }, "line break"},
		{"compression", func(c *Config) { c.Compression = XZ }, "xz: compression not supported by this kernel: it takes none, zstd, gzip"},
		{"twice", files(Bytes("init", 0o755, nil)), "/init: there twice"},
		{"below a file", files(Bytes("init/x", 0o755, nil)), "/init/x: /init is not a directory"},
		{"file over a directory", files(Bytes("a/b", 0o644, nil), Bytes("a", 0o644, nil)), "/a: there twice"},
		{"absolute", files(Bytes("/a", 0o644, nil)), `"/a": bad path`},
		{"leaves", files(Bytes("../a", 0o644, nil)), `"../a": bad path`},
		{"trailer", files(Bytes("TRAILER!!!", 0o644, nil)), "ends the archive"},
		{"fifo", files(File{Path: "a", Mode: fs.ModeNamedPipe}), "want a regular file"},
		{"link to nothing", files(File{Path: "a", Mode: fs.ModeSymlink}), "bad link target"},
		{"no contents", files(File{Path: "a", Size: 1}), "1 bytes without contents"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			_, err := Build(&b, config(tt.change))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Build = %v; want %q", err, tt.want)
			}
			if b.Len() > 0 {
				t.Errorf("Build wrote %d bytes before the error", b.Len())
			}
		})
	}
	_, err := Build(io.Discard, config(files(File{Path: "a", Content: strings.NewReader("abc"), Size: 5})))
	if err == nil || !strings.Contains(err.Error(), "write /a") {
		t.Errorf("Build(short file) = %v; want an error", err)
	}
	_, err = Build(io.Discard, config(files(File{Path: "a", Content: strings.NewReader(""), Size: 1 << 32})))
	if err == nil || !strings.Contains(err.Error(), "the format holds at most 4294967295") {
		t.Errorf("Build(4 GiB file) = %v; want an error", err)
	}
	full := errors.New("disk full")
	_, err = Build(failing{full}, config(nil))
	if !errors.Is(err, full) {
		t.Errorf("Build to a full disk = %v; want %v", err, full)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		c      Compression
		config string
		want   Compression
		err    error
	}{
		{"", "", Gzip, nil},
		{Auto, "", Gzip, nil},
		{XZ, "", XZ, nil},
		{Auto, "CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y", Zstd, nil},
		{Auto, "CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=n", XZ, nil},
		{Auto, "CONFIG_RD_LZ4=y", LZ4, nil},
		{Auto, "CONFIG_X=y", None, nil},
		{None, "CONFIG_RD_GZIP=y", None, nil},
		{Gzip, "CONFIG_RD_XZ=y", "", ErrCompression},
	} {
		var c kconfig.Config
		if tt.config != "" {
			var err error
			if c, err = kconfig.Parse([]byte(tt.config)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := choose(tt.c, c, false)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("choose(%q, %q) = %q, %v; want %q, %v", tt.c, tt.config, got, err, tt.want, tt.err)
		}
	}
	if c, err := ParseCompression("bzip2"); err == nil {
		t.Errorf("ParseCompression(bzip2) = %q; want an error", c)
	}
	if c, err := ParseCompression(""); c != Auto || err != nil {
		t.Errorf("ParseCompression() = %q, %v; want auto", c, err)
	}
}

func TestArch(t *testing.T) {
	for _, tt := range []struct {
		config string
		want   elf.Machine
		data   elf.Data
	}{
		{"CONFIG_X86_64=y\nCONFIG_64BIT=y", elf.EM_X86_64, elf.ELFDATA2LSB},
		{"CONFIG_ARM64=y\nCONFIG_64BIT=y", elf.EM_AARCH64, elf.ELFDATA2LSB},
		{"CONFIG_PPC64=y\nCONFIG_CPU_LITTLE_ENDIAN=y", elf.EM_PPC64, elf.ELFDATA2LSB},
		{"CONFIG_PPC64=y\nCONFIG_CPU_BIG_ENDIAN=y", elf.EM_PPC64, elf.ELFDATA2MSB},
		{"CONFIG_S390=y\nCONFIG_64BIT=y", elf.EM_S390, elf.ELFDATA2MSB},
		{"CONFIG_M68K=y", elf.EM_NONE, 0},
	} {
		c, err := kconfig.Parse([]byte(tt.config))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := configArch(c); got.machine != tt.want || got.data != tt.data || ok != (tt.want != 0) {
			t.Errorf("arch(%q) = %v, %v; want %v", tt.config, got, ok, tt.want)
		}
	}
}
