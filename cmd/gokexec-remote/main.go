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

const usage = `gokexec-remote is started by gokexec. It takes
	serve JOB     store the objects that come through standard input
	ship JOB      send the dumps of directories
	prepare JOB   check the settings and complete them, for a machine without names
	try JOB       store a small object, read it back, and delete it
	encrypt KEY...    standard input to standard output, for the public keys
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
	case "encrypt":
		err = encrypt(args, in, out)
	case "decrypt":
		err = decrypt(args, in, out)
	case "serve", "ship", "prepare", "try":
		var job remote.Job
		if job, err = openJob(args); err != nil {
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

// openJob reads the job, from a file or, as -, from standard input.
func openJob(args []string) (remote.Job, error) {
	if len(args) != 1 {
		return remote.Job{}, errors.New("want one JOB")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return remote.Job{}, err
	}
	defer f.Close()
	return remote.ReadJob(f)
}
