package loader_test

import (
	"context"
	"fmt"
	"os"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
)

// A Go init that loads the crash kernel: all there is to it.
func Example() {
	load := func() error {
		l, err := loader.System()
		if err != nil {
			return err
		}
		kernel, err := loader.Open("/boot/vmlinuz")
		if err != nil {
			return err
		}
		initrd, err := loader.Open("/boot/capture.img")
		if err != nil {
			return err
		}
		spec := &loader.Spec{Kind: machine.Crash, Kernel: kernel, Initrd: initrd, Cmdline: "console=ttyS0"}
		defer spec.Close()
		return l.LoadSpec(context.Background(), spec)
	}
	fmt.Println(load())
	// Output: stat /boot/vmlinuz: no such file or directory
}

// A plan is made of a machine's collected /proc and /sys, on any other machine.
func ExampleNew() {
	tree := os.DirFS("testdata/sysroot/small-x86")
	arch, err := machine.ArchByName("x86_64")
	if err != nil {
		fmt.Println(err)
		return
	}
	host, err := machine.ReadHost(tree, arch)
	if err != nil {
		fmt.Println(err)
		return
	}
	kernel := loader.FromBytes("vmlinuz", imagetest.GoodBzImage().Bytes())
	plan, err := loader.New(host, &loader.Spec{Kind: machine.Crash, Kernel: kernel, ReuseCmdline: true, CmdlineExact: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.Image)
	fmt.Println(plan.Cmdline)
	// Output:
	// bzImage for x86_64
	// root=UUID=0f3a ro quiet
}
