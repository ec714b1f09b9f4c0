package bootimage_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/bootimage"
)

func ExampleOpen() {
	// In a program: f, err := os.Open("/boot/vmlinuz-..."), and f.Stat().
	file := imagetest.GoodBzImage().Bytes()
	img, err := bootimage.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(img)
	fmt.Printf("needs %d MiB\n", img.MemSize>>20)
	if err := img.BzImage.CheckKexec64(false); err != nil {
		fmt.Println("kexec_file_load will refuse it:", err)
	}
	release, err := img.Release()
	fmt.Println("modules are in /lib/modules/"+release, err)
	// Output:
	// bzImage for x86_64
	// needs 52 MiB
	// modules are in /lib/modules/6.12.9-gokexec <nil>
}

func ExampleOpen_notKernel() {
	file := []byte("07070100000B8B000081A4") // the initramfs in place of the kernel
	_, err := bootimage.Open(bytes.NewReader(file), int64(len(file)))
	fmt.Println(errors.Is(err, bootimage.ErrNotKernel))
	fmt.Println(err)
	// Output:
	// true
	// not a Linux kernel image: a cpio archive (an initramfs)
}

func ExampleImage_Initrd() {
	file := imagetest.PE(0x8664,
		imagetest.Section{Name: ".cmdline", Data: []byte("console=ttyS0\n")},
		imagetest.Section{Name: ".linux", Data: imagetest.GoodBzImage().Bytes()},
		imagetest.Section{Name: ".initrd", Data: []byte("070701...")})
	img, err := bootimage.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		fmt.Println(err)
		return
	}
	initrd, err := img.Initrd()
	fmt.Printf("%v, %q, initrd %q, %v\n", img, img.Cmdline, initrd, err)
	// Output:
	// bzImage for x86_64 (in uki), "console=ttyS0", initrd "070701...", <nil>
}
