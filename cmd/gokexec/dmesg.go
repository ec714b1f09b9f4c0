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

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/printk"
)

func dmesgCommand() command {
	return command{
		name: "dmesg", args: "FILE...",
		short: "print the kernel log from a dump",
		long: `Prints the kernel log that FILE holds, in the format of vmcore-dmesg. FILE is
/proc/vmcore, a dump in ELF or in the compressed format of makedumpfile, either of them
also flattened (makedumpfile -F), or what gokexec capture wrote on a raw device: the
device itself or an image of it. Of a dump that makedumpfile has split, give all the files.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			asJSON := flags.Bool("json", false, "print each record as a line of JSON")
			return func(_ context.Context, e *env, args []string) error {
				if len(args) == 0 {
					return usageError("give the FILE of the dump")
				}
				return e.dmesg(args, *asJSON)
			}
		},
	}
}

func (e *env) dmesg(paths []string, asJSON bool) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fileProblem("dump", err)
		}
		if info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDir) != 0 {
			return &advice.Problem{What: fmt.Sprintf("dump %s is neither a file nor a block device", path), Hint: "the log may be anywhere in a dump, so the dump must be seekable: save it to a file first"}
		}
	}
	path := paths[0]
	dump, err := openDump(paths)
	if err != nil {
		return dumpProblem(path, nil, err)
	}
	defer dump.Close()
	if missing := dump.missing(); missing != "" {
		fmt.Fprintf(e.stderr, "gokexec: dmesg: %s: %s\n", path, missing)
	}
	log, err := printk.Read(dump)
	if err != nil {
		return dumpProblem(path, dump, err)
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
		return &advice.Problem{What: fmt.Sprintf("%s: the log is damaged in %d places, the first: %v", path, stats.Damaged, stats.Err),
			Hint: "what could be read is printed", Err: stats.Err}
	}
	return nil
}

// logRecord is a line of dmesg --json. It omits what the dump does not contain.
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
