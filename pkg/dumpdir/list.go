package dumpdir

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Dump is a directory that is named as that of a dump.
type Dump struct {
	Name   string
	Crash  time.Time
	Number int // of several of one second; 0 is the first
}

// Each calls visit with the directories in root that are named as those of dumps and belong to this user alone, in no
// order. No link is followed. dir is closed after the call.
func Each(root *os.Root, visit func(d Dump, dir *os.Root)) error {
	parent, err := root.Open(".")
	if err != nil {
		return err
	}
	defer parent.Close()
	names, err := parent.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		crash, number, ok := ParseName(name)
		if !ok {
			continue
		}
		if info, err := root.Lstat(name); err != nil || !info.IsDir() || !Own(info) {
			continue
		}
		dir, err := root.OpenRoot(name)
		if err != nil {
			continue
		}
		visit(Dump{name, crash, number}, dir)
		dir.Close()
	}
	return nil
}

// Own tells whether a file is this user's, and nobody else may change it.
func Own(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}
