package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// forget takes a key out of root's user keyring.
func forget(kind, description string) error {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, kind, description, 0)
	if err != nil {
		return fmt.Errorf("the %s key %s: %w", kind, description, err)
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	return err
}

// session becomes a program whose session keyring has nothing in it (systemd.exec(5), KeyringMode=private).
func session(argv []string) error {
	runtime.LockOSThread()
	if _, err := unix.KeyctlJoinSessionKeyring("alone"); err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, argv, os.Environ())
}

// lacks looks for bytes in files.
func lacks(list string, dirs []string) error {
	var forms [][]byte
	for text := range strings.SplitSeq(list, ",") {
		key, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		forms = append(forms, key, []byte(text), []byte(strings.ToUpper(text)))
	}
	but := ""
	if n := len(dirs); n > 2 && dirs[n-2] == "--but" {
		but, dirs = dirs[n-1], dirs[:n-2]
	}
	files := 0
	for _, dir := range dirs {
		var top unix.Stat_t
		if err := unix.Stat(dir, &top); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				var s unix.Stat_t
				if err := unix.Lstat(name, &s); err != nil || s.Dev != top.Dev {
					return filepath.SkipDir
				}
			}
			if !d.Type().IsRegular() || d.Name() == but {
				return nil
			}
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			files++
			for n, form := range forms {
				if bytes.Contains(b, form) {
					return fmt.Errorf("form %d of the bytes is in %s", n, name)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if files == 0 {
		return fmt.Errorf("%v: no files", dirs)
	}
	fmt.Println(files)
	return nil
}
