package ship

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// dump is a dump of a capture, in a directory.
type dump struct {
	name   string // of its directory
	number int
	result dumpdir.Summary
}

// crash is when the crash was: of a machine without a clock, when the capture was.
func (d *dump) crash() time.Time {
	if d.result.CrashTime != nil {
		return *d.result.CrashTime
	}
	return d.result.CaptureTime
}

// listDumps lists the dumps in a directory, the newest first: its directories with the name of a dump and a result, which
// belong to this user alone. No link is followed.
func listDumps(root *os.Root) ([]dump, error) {
	var dumps []dump
	err := dumpdir.Each(root, func(found dumpdir.Dump, dir *os.Root) {
		d := dump{name: found.Name, number: found.Number}
		if d.read(dir) {
			dumps = append(dumps, d)
		}
	})
	slices.SortFunc(dumps, func(a, b dump) int {
		if c := b.crash().Compare(a.crash()); c != 0 {
			return c
		}
		return strings.Compare(b.name, a.name)
	})
	return dumps, err
}

// read tells whether it is a dump whose capture is over.
func (d *dump) read(dir *os.Root) bool {
	if dumpdir.ReadJSON(dir, dumpdir.Result, &d.result) != nil || d.result.Outcome == "" || d.crash().IsZero() {
		return false
	}
	if d.result.Report.Fingerprint == "" {
		// The report may have been made after the reboot. There need be none.
		_ = dumpdir.ReadJSON(dir, dumpdir.ReportJSON, &d.result.Report)
	}
	return true
}

// memory is the name of the file with the memory; "" for none. One that is encrypted counts too.
func memory(dir *os.Root) string {
	for _, name := range [...]string{dumpdir.VMCore, dumpdir.VMCore + dumpdir.Encrypted, dumpdir.Incomplete, dumpdir.Incomplete + dumpdir.Encrypted} {
		if info, err := dir.Lstat(name); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return name
		}
	}
	return ""
}
