package main

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/dumpdir"
)

const (
	// maxDumps bounds how many of the newest dumps of a target are looked at.
	maxDumps = 20
	// maxLog and maxResult bound what is read of a dump's log and result, in bytes.
	maxLog    = 64 << 20
	maxResult = 1 << 20
)

// storedDump is a dump that a capture has left at a target.
type storedDump struct {
	target string
	path   string          // of its directory, or of the device
	vmcore string          // the file or device to open it by; "" if there is no memory
	result *capture.Result // nil if there is none, or it can't be read
	log    []byte          // dmesg.txt, if it was asked for
}

// crashed is when the crash was that it is of; zero if that is not known.
func (d *storedDump) crashed() time.Time {
	switch {
	case d.result == nil:
	case d.result.CrashTime != nil:
		return *d.result.CrashTime
	default:
		return d.result.CaptureTime
	}
	when, _, _ := dumpdir.ParseName(filepath.Base(d.path)) // zero for a device
	return when
}

// storedDumps lists the newest dumps at targets, the newest first, and the errors about targets that can't be looked
// at. withLog reads their logs too.
func (e *env) storedDumps(ctx context.Context, targets []capture.Target, withLog bool) ([]storedDump, error) {
	machine := e.storage()
	var all []storedDump
	var errs []error
	for _, t := range targets {
		dir, node, err := machine.Where(ctx, t)
		var found []storedDump
		switch {
		case err != nil:
		case node != "":
			found, err = rawDumps(filepath.Join(e.sysroot, node), withLog)
		default:
			found, err = directoryDumps(filepath.Join(e.sysroot, dir), withLog)
		}
		if err != nil {
			errs = append(errs, err)
		}
		for i := range found {
			found[i].target = t.String()
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b storedDump) int { return b.crashed().Compare(a.crashed()) })
	return all, errors.Join(errs...)
}

// directoryDumps reads the newest dumps in a directory. One that is not there has none.
func directoryDumps(dir string, withLog bool) ([]storedDump, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		_, _, ok := dumpdir.ParseName(e.Name())
		return !e.IsDir() || !ok
	})
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		first, number, _ := dumpdir.ParseName(a.Name())
		second, other, _ := dumpdir.ParseName(b.Name())
		return cmp.Or(second.Compare(first), cmp.Compare(other, number))
	})
	var dumps []storedDump
	for _, entry := range entries[:min(len(entries), maxDumps)] {
		d := storedDump{path: filepath.Join(dir, entry.Name())}
		if b, err := readBounded(filepath.Join(d.path, capture.ResultName), maxResult); err == nil {
			d.result = parseResult(b)
		}
		for _, name := range []string{capture.VMCoreName, capture.IncompleteName} {
			if info, err := os.Lstat(filepath.Join(d.path, name)); err == nil && info.Mode().IsRegular() {
				d.vmcore = filepath.Join(d.path, name)
				break
			}
		}
		if withLog {
			d.log, _ = readBounded(filepath.Join(d.path, capture.LogName), maxLog) // a dump may have none
		}
		dumps = append(dumps, d)
	}
	return dumps, nil
}

// rawDumps reads the dump on a raw device, if it has one.
func rawDumps(node string, withLog bool) ([]storedDump, error) {
	f, err := os.Open(node)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := storedDump{path: node}
	found := false
	for stream := tar.NewReader(f); ; {
		h, err := stream.Next()
		if err != nil {
			if !found {
				return nil, nil // whatever it holds
			}
			return []storedDump{d}, nil
		}
		switch name := path.Base(h.Name); {
		case name == capture.VMCoreName || name == capture.IncompleteName:
			d.vmcore, found = node, true
		case name == capture.LogName && withLog && h.Size <= maxLog:
			d.log, err = io.ReadAll(stream)
			found = true
		case name == capture.ResultName && h.Size <= maxResult:
			var b []byte
			b, err = io.ReadAll(stream)
			d.result, found = parseResult(b), true
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", node, err)
		}
	}
}

func parseResult(b []byte) *capture.Result {
	r := new(capture.Result)
	if json.Unmarshal(b, r) != nil {
		return nil
	}
	return r
}

// readBounded reads a regular file.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	return b, err
}
