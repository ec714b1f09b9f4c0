package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/bootloader"
)

// planUndo makes the steps that take back what the record has, the last thing first.
func (s *setup) planUndo(ctx context.Context) error {
	r := s.record
	if r == nil {
		return nil
	}
	if err := s.undoUnits(ctx); err != nil {
		return err
	}
	if r.RulesHidden && s.fileExists(hideRules) {
		s.step(setupStep{Action: "run", Object: hideRules + " show", do: func(ctx context.Context) error {
			_, err := s.env.programs.run(ctx, hideRules, "show")
			return err
		}})
	}
	if err := s.undoFiles(); err != nil {
		return err
	}
	if err := s.undoLater(); err != nil {
		return err
	}
	for _, command := range r.Undo { // also if an earlier --undo has put the files back, and then broke off
		s.step(setupStep{Action: "run", Object: strings.Join(command, " "), hint: "run it by hand, then gokexec setup --undo again", do: func(ctx context.Context) error {
			_, err := s.env.programs.run(ctx, command...)
			return err
		}})
	}
	s.step(setupStep{Action: "remove", Object: setupRecordPath, do: func(context.Context) error {
		if err := s.files.remove(setupRecordPath); err != nil {
			return err
		}
		for _, dir := range slices.Backward(r.Directories) {
			if real, err := s.files.real(dir); err == nil {
				_ = s.files.root.Remove(real) // one that holds something by now stays
			}
		}
		return nil
	}})
	return nil
}

// undoUnits takes back what units were enabled, disabled and started.
func (s *setup) undoUnits(ctx context.Context) error {
	for _, u := range slices.Backward(s.record.Units) {
		if s.init == nil || !s.init.installed(u.Name) {
			continue
		}
		if u.Started && s.init.running() && s.init.active(ctx, u.Name) {
			s.step(setupStep{Action: "stop", Object: u.Name, hint: s.init.command("stop", u.Name), do: func(ctx context.Context) error { return s.init.start(ctx, "stop", u.Name) }})
		}
		is, err := s.init.enabled(ctx, u.Name)
		if err != nil {
			return err
		}
		if u.Enabled == u.Was || is != u.Enabled {
			continue // somebody has changed it since
		}
		verb := "disable"
		if u.Was {
			verb = "enable"
		}
		s.step(setupStep{Action: verb, Object: u.Name, hint: s.init.command(verb, u.Name), do: func(ctx context.Context) error { return s.init.enable(ctx, u.Name, u.Was) }})
	}
	return nil
}

// undoFiles puts files back that are as setup has left them.
func (s *setup) undoFiles() error {
	for _, f := range slices.Backward(s.record.Files) {
		now, err := s.files.read(f.Path)
		if err != nil {
			return err
		}
		switch digest(now) {
		case digest(f.Old):
			continue // it was never written, or is back
		case f.New:
		default:
			s.note("%s was changed since and stays as it is; take %s out of it", f.Path, strings.Join(s.record.Words, " "))
			continue
		}
		file := bootloader.File{Path: f.Path, Old: now, New: f.Old}
		step := setupStep{Action: "write", Object: f.Path, Detail: changedLines(string(now), string(f.Old))}
		if f.Old == nil {
			step.Action = "remove"
		}
		step.hint = fmt.Sprintf("%s holds what it was, encoded in base64", setupRecordPath)
		step.do = func(context.Context) error { return s.putBack(file) }
		s.step(step)
	}
	return nil
}

// undoLater takes the words out of files that came later, such as the boot entry of a newer kernel.
func (s *setup) undoLater() error {
	r := s.record
	if len(r.Words) == 0 {
		return nil
	}
	c, err := bootloader.Remove(os.DirFS(s.env.sysroot), r.Words)
	if err != nil || c.Loader != r.Loader {
		return err
	}
	for _, f := range c.Files {
		if r.owns(f.Path) || slices.ContainsFunc(r.Present, func(p bootloader.Reservation) bool { return p.Path == f.Path }) {
			continue
		}
		s.step(setupStep{Action: "write", Object: f.Path, Detail: changedLines(string(f.Old), string(f.New)), hint: c.Manual, do: func(context.Context) error { return s.putBack(f) }})
	}
	return nil
}

// putBack writes or removes a file that nobody has changed meanwhile.
func (s *setup) putBack(f bootloader.File) error {
	now, err := s.files.read(f.Path)
	if err != nil {
		return err
	}
	if digest(now) != digest(f.Old) {
		return errors.New("it was changed meanwhile: run setup --undo again")
	}
	if f.New == nil {
		if err := s.files.remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return s.files.write(f.Path, f.New, publicFile)
}
