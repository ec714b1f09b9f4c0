package ship

import (
	"cmp"
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

// listDumps lists the dumps in a directory, the newest first: those that have a result. No link is followed.
func listDumps(root *os.Root) ([]dump, error) {
	entries, err := dumpdir.List(root)
	if err != nil {
		return nil, err
	}
	var dumps []dump
	for _, e := range entries {
		d := dump{name: e.Name, number: e.Number}
		if d.read(root) {
			dumps = append(dumps, d)
		}
	}
	slices.SortFunc(dumps, func(a, b dump) int {
		return cmp.Or(b.crash().Compare(a.crash()), strings.Compare(b.name, a.name))
	})
	return dumps, nil
}

// read tells whether it is a dump whose capture is over.
func (d *dump) read(root *os.Root) bool {
	sub, err := root.OpenRoot(d.name)
	if err != nil {
		return false
	}
	defer sub.Close()
	if dumpdir.ReadJSON(sub, dumpdir.Result, &d.result) != nil || d.result.Outcome == "" || d.crash().IsZero() {
		return false
	}
	if d.result.Report.Fingerprint == "" {
		// The report may have been made after the reboot. There need be none.
		_ = dumpdir.ReadJSON(sub, dumpdir.ReportJSON, &d.result.Report)
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
