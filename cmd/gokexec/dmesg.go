package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
			asJSON := flags.Bool("json", false, "print each record as a line of JSON")
			return func(_ context.Context, e *env, args []string) error {
				if len(args) != 1 {
					return usageError("give one FILE; there are %d arguments", len(args))
				}
				return e.dmesg(args[0], *asJSON)
			}
		},
	}
}

func (e *env) dmesg(path string, asJSON bool) error {
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
	write := printk.WriteText
	if asJSON {
		write = writeRecords
	}
	stats, err := write(out, log)
	if err := errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if stats.Err != nil {
		return &loader.Problem{What: fmt.Sprintf("%s: the log is damaged in %d places, the first: %v", path, stats.Damaged, stats.Err),
			Hint: "what could be read is printed", Err: stats.Err}
	}
	return nil
}

// logRecord is a line of dmesg --json. What the dump does not tell is left out.
type logRecord struct {
	Seq         uint64   `json:"seq"`
	TimeSeconds *float64 `json:"time_seconds,omitempty"` // since boot
	Facility    *int     `json:"facility,omitempty"`
	Level       *int     `json:"level,omitempty"`
	Caller      *uint32  `json:"caller,omitempty"`
	Text        string   `json:"text"` // bytes that are no UTF-8 become U+FFFD
}

func writeRecords(w io.Writer, log *printk.Log) (printk.Stats, error) {
	var stats printk.Stats
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for r := range log.Records(&stats) {
		line := logRecord{Seq: r.Seq, Text: string(r.Text)}
		if r.HasTime {
			seconds := r.Time.Seconds()
			line.TimeSeconds = &seconds
		}
		if r.Level >= 0 {
			line.Level = &r.Level
		}
		if r.Facility >= 0 {
			line.Facility = &r.Facility
		}
		if r.HasCaller {
			line.Caller = &r.Caller
		}
		if err := enc.Encode(line); err != nil {
			return stats, err
		}
	}
	return stats, nil
}

func dumpProblem(path string, err error) error {
	return &loader.Problem{What: fmt.Sprintf("%s: %v", path, err), Err: err,
		Hint: "an ELF dump (/proc/vmcore, a saved vmcore) or gokexec's raw device is wanted; a compressed dump of makedumpfile can't be read yet"}
}
