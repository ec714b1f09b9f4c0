// Command gokexec loads crash kernels, says what is loaded, and as the init of
// the capture kernel saves the memory of the one that died.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() == 1 {
		runInit()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx, systemEnv(), os.Args[1:])
	stop()
	os.Exit(code)
}
