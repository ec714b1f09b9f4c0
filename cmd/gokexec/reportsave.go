package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/capture"
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
	err = putBeside(root, report.TextName, r.WriteText)
	if err == nil {
		err = putBeside(root, report.JSONName, r.WriteJSON)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", dir, reportLine(r.Head()))
	return nil
}

// putBeside writes a file of a dump's directory, under another name until it is complete. No link is followed.
func putBeside(root *os.Root, name string, write func(io.Writer) error) error {
	temp := name + ".incomplete"
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, privateFile)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = (&output{file: f}).sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}
