package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/config"
)

// checkArmTargets refuses directories that are probably not where the administrator wants the dump: on a filesystem
// that is not mounted, or not there at all. Nothing is created: the capture makes the default one.
func (e *env) checkArmTargets(c *configured) error {
	targets, err := c.parsedTargets()
	if err != nil {
		return err
	}
	machine := e.storage()
	for _, t := range targets {
		dir := targetDirectory(t)
		if dir == "" {
			continue
		}
		point, err := machine.Unmounted(dir)
		if err != nil {
			return targetProblem(fmt.Errorf("target %s: %w", t, err), false)
		}
		if point != "" {
			return &advice.Problem{What: fmt.Sprintf("target %s: %s is not mounted, and /etc/fstab has a filesystem for it", t, point),
				Hint: "mount " + point + ", or name another Target= in " + config.LocalPath}
		}
		_, err = os.Stat(filepath.Join(e.sysroot, dir))
		if errors.Is(err, fs.ErrNotExist) && dir != defaultTarget {
			return &advice.Problem{What: fmt.Sprintf("target %s: there is no such directory", t), Err: err,
				Hint: "create " + dir + ", mount what it lies on, or name another Target= in " + config.LocalPath}
		}
	}
	return nil
}

// targetDirectory is the directory of this machine that a target names, "" if it names a device.
func targetDirectory(t capture.Target) string {
	switch {
	case t.Place() == capture.InDirectory:
		return path.Clean(t.Path)
	case t.Place() == capture.OnFilesystem && path.IsAbs(t.Device) && path.Dir(t.Device) != "/dev" && path.Dir(path.Dir(t.Device)) != "/dev":
		return path.Join(t.Device, t.Path)
	}
	return ""
}
