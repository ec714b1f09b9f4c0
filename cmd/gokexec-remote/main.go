// Command gokexec-remote has the network of gokexec: S3, SSH and HTTPS, with TLS, and age. It is a program of its own so
// that others need none of that: gokexec starts it, in the capture kernel as a child that gets what it stores
// through a pipe. People use gokexec ship, gokexec check --target and gokexec dump --decrypt.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/ship"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitDeferred = 75 // EX_TEMPFAIL of sysexits.h
)

const usage = `gokexec-remote is started by gokexec, with its job in ` + remote.JobVariable + `. It takes
	serve             store the objects that come through standard input
	ship              send the dumps of directories
	prepare           check the settings and complete them, for a kernel without the files that they name
	try               store a small object, read it back, and delete it
	decrypt FILE...   standard input to standard output, by the private keys in files
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errs, usage)
		return exitUsage
	}
	var err error
	switch command, args := args[0], args[1:]; command {
	case "decrypt":
		err = decrypt(args, in, out)
	case "serve", "ship", "prepare", "try":
		var job remote.Job
		if job, err = readJob(args); err != nil {
			break
		}
		switch command {
		case "serve":
			err = serve(ctx, job, in, out, errs)
		case "ship":
			err = shipDumps(ctx, job, out, errs)
		case "prepare":
			err = prepare(ctx, job, out)
		case "try":
			err = try(ctx, job, errs)
		}
	default:
		fmt.Fprint(errs, usage)
		return exitUsage
	}
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(errs, "gokexec-remote: %s\n", strings.TrimSpace(line))
	}
	if hint := advice.Hint(err); hint != "" {
		fmt.Fprintf(errs, "hint: %s\n", hint)
	}
	if errors.Is(err, ship.ErrDeferred) {
		return exitDeferred
	}
	return exitFailure
}

// readJob reads the job from the environment.
func readJob(args []string) (remote.Job, error) {
	if len(args) != 0 {
		return remote.Job{}, fmt.Errorf("unexpected argument %q", args[0])
	}
	text := os.Getenv(remote.JobVariable)
	if text == "" {
		return remote.Job{}, errors.New(remote.JobVariable + " is not set: gokexec starts this program")
	}
	return remote.ReadJob(strings.NewReader(text))
}
