package main

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// What kexec-tools takes by one call only, or not at all, is taken by either.
func TestKexecImages(t *testing.T) {
	b := newBench(t)
	kernel, err := os.ReadFile(b.vmlinuz)
	if err != nil {
		t.Fatal(err)
	}
	zst := imagetest.Compress(t, "zstd", kernel)
	uki := b.file("uki.efi", imagetest.PE(0x8664, imagetest.Section{Name: ".linux", Data: kernel},
		imagetest.Section{Name: ".initrd", Data: []byte("inner")}, imagetest.Section{Name: ".cmdline", Data: []byte("inner=1")}))
	packed := b.file("vmlinuz.zst", zst)
	vmlinux := b.file("vmlinux", imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian).Bytes())
	for _, tt := range []struct {
		argv   []string
		code   int
		loaded string
	}{
		{[]string{"-p", uki}, 0, "crash by kexec_file_load with initrd: inner=1"},
		{[]string{"-p", uki, "--append=x"}, 0, "crash by kexec_file_load with initrd: x"},
		{[]string{"-c", "-p", uki, "--append=x"}, 0, "crash by kexec_load"},
		{[]string{"-c", "-t", "uki", "-p", uki}, 0, "crash by kexec_load"},
		{[]string{"-c", "-t", "bzImage64", "-p", uki}, 255, ""},
		{[]string{"-s", "-p", packed, "--append=x"}, 0, "crash by kexec_file_load: x"},
		{[]string{"-c", "-p", packed}, 0, "crash by kexec_load"},
		{[]string{"-p", vmlinux, "--append=x"}, 0, "crash by kexec_load"},
		{[]string{"-p", "--args-linux", vmlinux, "--initrd=" + b.initrd}, 0, "crash by kexec_load"},
		{[]string{"-c", "-t", "elf-x86_64", "-p", vmlinux}, 0, "crash by kexec_load"},
		{[]string{"-p", "--args-elf", vmlinux}, 255, ""},
		{[]string{"-s", "-p", vmlinux}, 255, ""},
		{[]string{"-p", "--elf32-core-headers", "--module=x y", "--args-linux", "--dtb=/nonexistent", b.vmlinuz}, 0, "crash by kexec_file_load: "},
	} {
		b.kernel.Crash = nil
		if code, _ := b.kexec(tt.argv...); code != tt.code || b.loadedAs() != tt.loaded {
			t.Errorf("kexec %q = %d, loaded %q; want %d, %q\n%s", tt.argv, code, b.loadedAs(), tt.code, tt.loaded, &b.stderr)
		}
	}
}
