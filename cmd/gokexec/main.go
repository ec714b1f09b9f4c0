// Command gokexec loads crash kernels, keeps them accurate, and as the init of the
// capture kernel saves the memory of the crashed kernel.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/capture"
)

func main() {
	if os.Getpid() == 1 && !namesCommand(os.Args) {
		// It returns if this process is not to be an init.
		firstProcess(capture.NewSystem(), systemInit())
	}
	e := systemEnv()
	e.interrupts = handleInterrupts()
	os.Exit(runAs(context.Background(), e, os.Args))
}

// runAs runs the program that argv[0] names: a link named kexec is kexec(8), one named
// vmcore-dmesg is vmcore-dmesg(8).
func runAs(ctx context.Context, e *env, argv []string) int {
	if len(argv) == 0 {
		return run(ctx, e, nil)
	}
	if p := findProgram(filepath.Base(argv[0])); p != nil {
		return p.run(ctx, e, argv)
	}
	return run(ctx, e, argv[1:])
}
