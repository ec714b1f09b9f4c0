package loader_test

import (
	"context"
	"fmt"

	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// A Go init that loads the crash kernel: all there is to it.
func Example() {
	load := func() error {
		l, err := loader.System()
		if err != nil {
			return err
		}
		kernel, err := plan.Open("/boot/vmlinuz")
		if err != nil {
			return err
		}
		initrd, err := plan.Open("/boot/capture.img")
		if err != nil {
			return err
		}
		spec := &plan.Spec{Kind: machine.Crash, Kernel: kernel, Initrd: initrd, Cmdline: "console=ttyS0"}
		defer spec.Close()
		return l.LoadSpec(context.Background(), spec)
	}
	fmt.Println(load())
	// Output: stat /boot/vmlinuz: no such file or directory
}
