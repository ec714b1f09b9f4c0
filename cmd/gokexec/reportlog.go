package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/oops"
	"github.com/gokexec/gokexec/pkg/report"
)

// ofLog prints what names the crash in a log.
func (o *reportOptions) ofLog(e *env) error {
	log, name := e.stdin, "the standard input"
	if o.fingerprint != "-" {
		f, err := os.Open(o.fingerprint)
		if err != nil {
			return fileProblem("log", err)
		}
		defer f.Close()
		log, name = f, o.fingerprint
	}
	crash, err := oops.Read(log)
	if err != nil {
		return logProblem(name, err)
	}
	h := (&report.Report{Title: crash.Title(), Kind: string(crash.Kind), Fingerprint: crash.Fingerprint()}).Head()
	return writeReport(e, o.output, func(w io.Writer) error {
		if o.asJSON {
			return writeJSON(w, h)
		}
		_, err := fmt.Fprintf(w, "%s %s\n", h.Fingerprint, h.Title)
		return err
	})
}

// reportOfLog makes a report of a log alone.
func reportOfLog(path string) (*report.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileProblem("log", err)
	}
	defer f.Close()
	r, err := report.FromLog(f)
	if err != nil && !errors.Is(err, oops.ErrNone) {
		return nil, logProblem(path, err)
	}
	return r, nil
}

func logProblem(name string, err error) error {
	p := &advice.Problem{What: fmt.Sprintf("%s: %v", name, err), Err: err}
	if errors.Is(err, oops.ErrNone) {
		p.Hint = "a kernel log is wanted, as dmesg, a serial console, pstore or dmesg.txt of a dump has it; of a dump: gokexec report DUMP"
	}
	return p
}
