package loader_test

import (
	"context"
	"log"

	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// A Go init that loads the crash kernel: all there is to it. It has no output, so that no
// test runs it: it would load into the running kernel.
func Example() {
	l, err := loader.System()
	if err != nil {
		log.Fatal(err)
	}
	spec := &plan.Spec{Kind: machine.Crash, Kernel: plan.FromFile("/boot/vmlinuz"), Initrd: plan.FromFile("/boot/capture.img"), Cmdline: "console=ttyS0"}
	out, err := l.Load(context.Background(), spec)
	if err != nil {
		log.Print(err)
		return
	}
	log.Printf("loaded by %v; the elfcorehdr is %v", out.Plan.Method, out.Verification)
}
