package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/report"
)

// reportOf makes the report of a dump, or reads the one that was made of it.
func (e *env) reportOf(ctx context.Context, paths []string) (*report.Report, error) {
	if len(paths) == 0 {
		path, err := e.newestDump(ctx)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(e.stderr, "gokexec: report: %s\n", path)
		paths = []string{path}
	}
	if len(paths) > 1 {
		return e.reportOfDump(ctx, paths)
	}
	info, err := os.Stat(paths[0])
	switch {
	case err != nil:
		return nil, fileProblem("dump", err)
	case info.IsDir():
		return e.reportOfDirectory(ctx, paths[0])
	case info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeCharDevice) != 0:
		return nil, &advice.Problem{What: fmt.Sprintf("dump %s is neither a file nor a block device", paths[0]), Hint: "what a report tells of may be anywhere in a dump, so the dump must be seekable: save it to a file first"}
	}
	if r, err := savedReport(paths[0]); r != nil || err != nil {
		return r, err
	}
	return e.reportOfDump(ctx, paths)
}

// newestDump is the memory of the crashed kernel in a capture kernel, else the newest dump at the targets of the crash
// kernel that is loaded.
func (e *env) newestDump(ctx context.Context) (string, error) {
	if path := filepath.Join(e.sysroot, vmcoreName); fileThere(path) {
		return path, nil
	}
	targets := e.loadedConfig().Targets
	if len(targets) == 0 {
		return "", usageError("no DUMP: name one; no crash kernel is loaded whose targets would be known")
	}
	dumps, err := e.storedDumps(ctx, targets, false)
	if len(dumps) > 0 {
		return dumps[0].path, nil
	}
	if err == nil {
		err = errors.New("the targets of the crash kernel that is loaded hold no dump")
	}
	return "", &advice.Problem{What: err.Error(), Hint: "name the dump: a file, a device, or the directory that a capture has made", Err: err}
}

func fileThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// reportOfDirectory takes the best that there is in the directory of a dump.
func (e *env) reportOfDirectory(ctx context.Context, dir string) (*report.Report, error) {
	for _, name := range []string{capture.VMCoreName, capture.IncompleteName} {
		if path := filepath.Join(dir, name); fileThere(path) {
			return e.reportOfDump(ctx, []string{path})
		}
	}
	if r, err := savedReport(filepath.Join(dir, report.JSONName)); r != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if path := filepath.Join(dir, capture.LogName); fileThere(path) {
		return reportOfLog(path)
	}
	return nil, &advice.Problem{What: fmt.Sprintf("%s is no directory of a dump: it has neither %s, %s nor %s", dir, capture.VMCoreName, report.JSONName, capture.LogName),
		Hint: "a capture makes one in /var/crash, or where Target= says, named after the time of the crash"}
}

// savedReport reads a report.json. A file that is something else gives no report and no error.
func savedReport(path string) (*report.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var head [64]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(bytes.TrimSpace(head[:n]), []byte("{")) {
		return nil, nil // the reader of dumps says what is wrong with it
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, err := report.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (e *env) reportOfDump(ctx context.Context, paths []string) (*report.Report, error) {
	dump, err := openDump(paths)
	if err != nil {
		return nil, dumpProblem(paths[0], nil, err)
	}
	defer dump.Close()
	r := report.Make(ctx, dump)
	if missing := dump.missing(); missing != "" {
		r.Missing = append(r.Missing, report.Missing{Part: "a part of the dump", Reason: missing})
	}
	return r, ctx.Err()
}

// reporter is this program as the child of a capture.
func reporter() []string { return []string{selfExecutable, "report", "--parts"} }

// writeParts is that child.
func writeParts(ctx context.Context, e *env, paths []string) error {
	if len(paths) == 0 {
		return usageError("no DUMP")
	}
	if err := boundReport(); err != nil {
		return err
	}
	r, err := e.reportOfDump(ctx, paths)
	if err != nil {
		return err
	}
	return r.WriteParts(e.stdout)
}
