package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/internal/imagetest"
)

const testVersion = "6.12.0-test"

// modinfo joins key=value strings as the kernel's build does.
func modinfo(entries ...string) []byte {
	var b []byte
	for _, e := range entries {
		b = append(b, e...)
		b = append(b, 0)
	}
	return b
}

// ko returns a relocatable ELF64 file of the given byte order with nothing but
// a .modinfo section.
func ko(order binary.ByteOrder, machine elf.Machine, entries ...string) []byte {
	const ehsize, shentsize = 64, 64
	names := "\x00.modinfo\x00.shstrtab\x00"
	info := modinfo(entries...)
	shoff := ehsize + len(info) + len(names)
	shoff += -shoff & 7
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(machine), Version: 1, Shoff: uint64(shoff),
		Ehsize: ehsize, Shentsize: shentsize, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	if order == binary.ByteOrder(binary.BigEndian) {
		h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	var b bytes.Buffer
	write := func(v any) {
		if err := binary.Write(&b, order, v); err != nil {
			panic(err)
		}
	}
	write(h)
	b.Write(info)
	b.WriteString(names)
	b.Write(make([]byte, shoff-b.Len()))
	write(elf.Section64{})
	write(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: ehsize, Size: uint64(len(info)), Addralign: 1})
	write(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(ehsize + len(info)), Size: uint64(len(names)), Addralign: 1})
	return b.Bytes()
}

// x86 is ko with what every module has.
func x86(name, depends string, more ...string) []byte {
	entries := append([]string{"license=GPL", "depends=" + depends, "name=" + name,
		"vermagic=" + testVersion + " SMP preempt mod_unload modversions "}, more...)
	return ko(binary.LittleEndian, elf.EM_X86_64, entries...)
}

// pack compresses b the way the extension says.
func pack(t testing.TB, ext string, b []byte) []byte {
	t.Helper()
	codec := map[string]string{".gz": "gzip", ".xz": "xz-crc32", ".zst": "zstd"}[ext]
	if codec == "" {
		return b
	}
	return imagetest.Compress(t, codec, b)
}

// packed is the tree of an unpacked package: no modules.dep, all four
// packings.
func packed(t testing.TB) fstest.MapFS {
	t.Helper()
	root := fstest.MapFS{}
	dir := "usr/lib/modules/" + testVersion + "/"
	add := func(file string, image []byte) {
		ext := filepath.Ext(file)
		root[dir+"kernel/"+file] = &fstest.MapFile{Data: pack(t, ext, image)}
	}
	add("drivers/nvme/host/nvme.ko.xz", x86("nvme", "nvme-core", "alias=pci:v*d*sv*sd*bc01sc08i02*"))
	add("drivers/nvme/host/nvme-core.ko.zst", x86("nvme_core", "nvme-auth"))
	add("drivers/nvme/common/nvme-auth.ko.gz", x86("nvme_auth", ""))
	add("drivers/block/virtio_blk.ko", x86("virtio_blk", "virtio,virtio_ring", "alias=virtio:d00000002v*"))
	add("drivers/virtio/virtio.ko", x86("virtio", "virtio_ring"))
	add("drivers/virtio/virtio_ring.ko", x86("virtio_ring", ""))
	add("drivers/scsi/sd_mod.ko.xz", x86("sd_mod", "scsi_mod", "alias=scsi:t-0x00*"))
	add("drivers/scsi/scsi_mod.ko.xz", x86("scsi_mod", ""))
	add("fs/ext4/ext4.ko.xz", x86("ext4", "jbd2,mbcache,crc16", "softdep=pre: crypto-crc32c", "alias=fs-ext4", "alias=fs-ext3"))
	add("fs/jbd2/jbd2.ko.xz", x86("jbd2", ""))
	add("fs/mbcache.ko.xz", x86("mbcache", ""))
	add("fs/fat/vfat.ko", x86("vfat", "fat", "alias=fs-vfat"))
	add("fs/fat/fat.ko", x86("fat", ""))
	add("fs/nls/nls_ascii.ko", x86("nls_ascii", ""))
	add("lib/crc16.ko", x86("crc16", ""))
	add("crypto/crc32c_generic.ko", x86("crc32c_generic", "", "alias=crypto-crc32c", "alias=crc32c"))
	add("drivers/crypto/hw.ko", x86("hw", "", "alias=crypto-crc32c"))
	add("drivers/md/raid1.ko", x86("raid1", "md-mod"))
	add("drivers/md/md-mod.ko", x86("md_mod", ""))
	add("drivers/md/dm-mod.ko", x86("dm_mod", "", "softdep=post: dm-log"))
	add("drivers/md/dm-log.ko", x86("dm_log", "dm-mod"))
	root[dir+"modules.builtin"] = &fstest.MapFile{Data: []byte("kernel/fs/binfmt_script.ko\nkernel/drivers/virtio/virtio_pci.ko\n")}
	root[dir+"modules.builtin.modinfo"] = &fstest.MapFile{Data: modinfo("xfs.alias=fs-xfs", "xfs.license=GPL", "virtio_pci.alias=pci:v00001AF4d*")}
	return root
}

func open(t testing.TB, root fs.FS) *Tree {
	t.Helper()
	tree, err := Open(root, testVersion)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// names prints a closure: a '?' follows what is optional.
func names(needed []Needed) string {
	var out []string
	for _, n := range needed {
		if n.Optional {
			n.Name += "?"
		}
		out = append(out, n.Name)
	}
	return strings.Join(out, " ")
}

// checkErr compares an error with a part of its wanted text; "" is no error.
func checkErr(t *testing.T, call string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Fatalf("%s = %v; want error with %q", call, err, want)
	}
}

// onDisk writes files and links ("-> TARGET") below a new directory.
func onDisk(t *testing.T, files map[string]string) fs.FS {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, p)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(p, 0o755)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return os.DirFS(dir)
}
