package ship

import (
	"os"
	"slices"
	"strings"
	"syscall"
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
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var dumps []dump
	for _, name := range names {
		_, number, ok := dumpdir.ParseName(name)
		if !ok {
			continue
		}
		d := dump{name: name, number: number}
		if d.read(root) {
			dumps = append(dumps, d)
		}
	}
	slices.SortFunc(dumps, func(a, b dump) int {
		if c := b.crash().Compare(a.crash()); c != 0 {
			return c
		}
		return strings.Compare(b.name, a.name)
	})
	return dumps, nil
}

// read tells whether it is a dump whose capture is over.
func (d *dump) read(root *os.Root) bool {
	info, err := root.Lstat(d.name)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return false
	}
	sub, err := root.OpenRoot(d.name)
	if err != nil {
		return false
	}
	defer sub.Close()
	if readJSON(sub, dumpdir.Result, &d.result) != nil || d.result.Outcome == "" || d.crash().IsZero() {
		return false
	}
	if d.result.Report.Fingerprint == "" {
		// The report may have been made after the reboot. There need be none.
		_ = readJSON(sub, dumpdir.ReportJSON, &d.result.Report)
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
