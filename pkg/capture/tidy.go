package capture

import (
	"os"
	"path"
	"slices"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// keptLogs is how many dumps Tidy leaves of which only log and result are there, in one directory.
const keptLogs = 100

// Removed is what Tidy has removed.
type Removed struct {
	Dump  string `json:"dump"` // its directory
	Bytes int64  `json:"bytes"`
	// Whole: the directory is gone, else its memory alone: vmcore or vmcore.incomplete.
	Whole bool `json:"whole"`
}

// Tidy removes old dumps from a directory of a target on the running machine, as far as [Config.KeepDumps] and
// [Config.KeepFree] demand. With KeepDumps 0 it does nothing. The newest dump, and the newest complete one, stay. It
// only knows what a capture has made: other files and directories stay, and no link is followed.
func Tidy(dir string, cfg Config) ([]Removed, error) {
	if cfg.KeepDumps == 0 {
		return nil, nil
	}
	if err := cfg.validKeepDumps(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t := &tidying{root: root, keep: cfg.KeepDumps}
	if err := t.list(); err != nil {
		return nil, err
	}
	var removed []Removed
	note := func(d oldDump, whole bool) {
		removed = append(removed, Removed{path.Join(dir, d.name), d.bytes, whole})
	}
	t.removed = func(d oldDump) { note(d, false) }
	if err := t.limit(cfg.KeepDumps); err != nil {
		return removed, err
	}
	for {
		space, err := NewSystem().Space(dir)
		if err != nil || space.Available >= cfg.reserve().of(space) {
			break
		}
		if more, err := t.removeOldest(); !more || err != nil {
			return removed, err
		}
	}
	return removed, t.dropLogs(func(d oldDump) { note(d, true) })
}

// tidying removes old dumps of one directory.
type tidying struct {
	root    *os.Root
	own     string // the dump that is being written; "" for none
	keep    int
	dumps   []oldDump // the oldest first
	removed func(oldDump)
	say     func(format string, args ...any) // of a capture
}

func (t *tidying) list() (err error) {
	t.dumps, err = listDumps(t.root)
	return err
}

// keepDumps is what a capture may remove for its dump.
type keepDumps struct {
	number int // 0: nothing is removed
	say    func(format string, args ...any)
	flush  func() // writes everything back: what was removed is free then, on btrfs too
}

func (o *opening) keepDumps() keepDumps { return keepDumps{o.cfg.KeepDumps, o.say, o.sys.Sync} }

// of finds what may be removed from a directory for the dump own in it; nil: nothing.
func (k keepDumps) of(sys Files, dir, own string) *tidying {
	if k.number == 0 {
		return nil
	}
	root, err := sys.Root(dir)
	if err != nil {
		k.say("old dumps stay: %v", err)
		return nil
	}
	t := &tidying{root: root, own: own, keep: k.number, say: k.say}
	t.removed = func(d oldDump) {
		k.flush()
		k.say("removed the memory of the dump %s, %d MB; its log stays", d.name, d.bytes/1e6)
	}
	if err := t.list(); err != nil {
		k.say("old dumps stay: %v", err)
	}
	return t
}

// beforeDump makes the number of old dumps such that the new one may be added. One stays in any case, since
// the new dump may fail. A dump is worth more than order: errors are only told.
func (t *tidying) beforeDump() {
	if t == nil {
		return
	}
	if err := t.limit(max(t.keep-1, 1)); err != nil {
		t.say("old dumps stay: %v", err)
	}
}

// makeRoom removes one more dump; it tells whether it did.
func (t *tidying) makeRoom() bool {
	if t == nil {
		return false
	}
	more, err := t.removeOldest()
	if err != nil {
		t.say("old dumps stay: %v", err)
	}
	return more
}

func (t *tidying) close() error {
	if t == nil {
		return nil
	}
	return t.root.Close()
}

// limit removes the memory of the oldest dumps until at most n others than the own have theirs.
func (t *tidying) limit(n int) error {
	for withMemory(t.dumps, t.own) > n {
		if more, err := t.removeOldest(); !more || err != nil {
			return err
		}
	}
	return nil
}

// removeOldest removes the memory of the oldest dump that may go. It tells whether there was one.
func (t *tidying) removeOldest() (bool, error) {
	list := expendable(t.dumps, t.own)
	if len(list) == 0 {
		return false, nil
	}
	oldest := list[0]
	if err := removeMemory(t.root, oldest); err != nil {
		return false, err
	}
	for i := range t.dumps {
		if t.dumps[i].name == oldest.name {
			t.dumps[i].bytes, t.dumps[i].complete = 0, false
		}
	}
	t.removed(oldest)
	return true, nil
}

// dropLogs removes the oldest dumps that have no memory any more, whole, as far as they are more than keptLogs. A
// directory in which anybody has put something else stays.
func (t *tidying) dropLogs(dropped func(oldDump)) error {
	var logs []oldDump
	for _, d := range t.dumps {
		if d.bytes == 0 {
			logs = append(logs, d)
		}
	}
	for _, d := range logs[:max(len(logs)-keptLogs, 0)] {
		gone, err := dropDirectory(t.root, d.name)
		if err != nil {
			return err
		}
		if gone {
			dropped(d)
		}
	}
	return nil
}

// dropDirectory removes the directory of a dump that has a log, a report and a result alone.
func dropDirectory(root *os.Root, name string) (gone bool, err error) {
	sub, err := root.OpenRoot(name)
	if err != nil {
		return false, err
	}
	defer sub.Close()
	dir, err := sub.Open(".")
	if err != nil {
		return false, err
	}
	names, err := dir.Readdirnames(-1)
	if dir.Close(); err != nil {
		return false, err
	}
	// The result last: what is left without it would be no dump any more.
	small := []string{LogName, ReportName, ReportJSONName, dumpdir.Shipped, ResultName}
	if slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(small, name) }) {
		return false, nil
	}
	for _, name := range small {
		if err := sub.Remove(name); err != nil && !os.IsNotExist(err) {
			return false, err
		}
	}
	return true, root.Remove(name)
}
