package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/report"
)

// saveAll saves the reports of dumps beside them, where there are none. One that fails does not keep the others from it.
func (o *reportOptions) saveAll(ctx context.Context, e *env, dirs []string) error {
	var errs []error
	if len(dirs) == 0 {
		dumps, err := e.storedDumps(ctx, e.loadedConfig().Targets, false)
		if err != nil {
			errs = append(errs, err)
		}
		for _, d := range dumps {
			if info, err := os.Stat(d.path); err == nil && info.IsDir() {
				dirs = append(dirs, d.path) // a raw device has no room beside its dump
			}
		}
	}
	for _, dir := range dirs {
		if err := saveReport(ctx, e, dir); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// saveReport saves the report of a dump in its directory, unless one is there. report.json is the last that is written,
// so that a report whose saving broke off is made again.
func saveReport(ctx context.Context, e *env, dir string) error {
	root, err := capture.OpenOwn(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Lstat(report.JSONName); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r, err := e.reportOfDirectory(ctx, dir)
	if err != nil {
		return err
	}
	err = dumpdir.Replace(root, report.TextName, r.WriteText)
	if err == nil {
		err = dumpdir.Replace(root, report.JSONName, r.WriteJSON)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", dir, reportLine(r.Head()))
	return nil
}
