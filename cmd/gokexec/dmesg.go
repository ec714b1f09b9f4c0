package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/printk"
)

func dmesgCommand() command {
	return command{
		name: "dmesg", args: "FILE",
		short: "print the kernel log out of a dump",
		long: `Prints the kernel log that FILE holds, in the format of vmcore-dmesg. FILE is a
dump (ELF), /proc/vmcore, or what gokexec capture wrote on a raw device: the device
itself or an image of it.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			return func(_ context.Context, e *env, args []string) error {
				if len(args) != 1 {
					return usageError("give one FILE; there are %d arguments", len(args))
				}
				return e.dmesg(args[0])
			}
		},
	}
}

func (e *env) dmesg(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fileProblem("dump", err)
	}
	if info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDir) != 0 {
		return &loader.Problem{What: fmt.Sprintf("dump %s is neither a file nor a block device", path), Hint: "the log lies anywhere in a dump, so it must be seekable: save it to a file first"}
	}
	dump, err := capture.OpenRaw(path)
	if err != nil {
		return dumpProblem(path, err)
	}
	defer dump.Close()
	core, err := elfcore.New(dump, dump.Size())
	if err != nil {
		return dumpProblem(path, err)
	}
	log, err := printk.Read(core)
	if err != nil {
		return dumpProblem(path, err)
	}
	out := bufio.NewWriter(e.stdout)
	stats, err := printk.WriteText(out, log)
	if err := errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if stats.Err != nil {
		return &loader.Problem{What: fmt.Sprintf("%s: the log is damaged in %d places, the first: %v", path, stats.Damaged, stats.Err),
			Hint: "what could be read is printed", Err: stats.Err}
	}
	return nil
}

func dumpProblem(path string, err error) error {
	return &loader.Problem{What: fmt.Sprintf("%s: %v", path, err), Err: err,
		Hint: "an ELF dump (/proc/vmcore, a saved vmcore) or gokexec's raw device is wanted; a compressed dump of makedumpfile can't be read yet"}
}
