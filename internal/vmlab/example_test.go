package vmlab_test

import (
	"context"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// Boot Debian's kernel, ask it something, switch it off.
func ExampleLaunch() {
	ctx := context.Background()
	kernel, err := vmlab.GetKernel(ctx, "trixie-cloud")
	if err != nil {
		fmt.Println(err)
		return
	}
	vm, err := vmlab.Launch(ctx, vmlab.Config{Kernel: kernel})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer vm.Close()
	cmdline, err := vm.ReadFile(ctx, "/proc/cmdline")
	fmt.Printf("%s %v\n", cmdline, err)
}

// An initramfs is built in process, and is reproducible.
func ExampleWriteInitramfs() {
	err := vmlab.WriteInitramfs(io.Discard, []vmlab.File{{Path: "/init", Source: "/no/such/file"}})
	fmt.Println(err)
	// Output: initramfs: /init: stat /no/such/file: no such file or directory
}
