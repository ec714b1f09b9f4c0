package plan_test

import (
	"fmt"
	"os"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

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
	kernel := plan.FromBytes("vmlinuz", imagetest.GoodBzImage().Bytes())
	p, err := plan.New(host, &plan.Spec{Kind: machine.Crash, Kernel: kernel, ReuseCmdline: true, CmdlineExact: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Image)
	fmt.Println(p.Cmdline)
	// Output:
	// bzImage for x86_64
	// root=UUID=0f3a ro quiet
}
