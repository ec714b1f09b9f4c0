package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootloader"
	"github.com/gokexec/gokexec/pkg/config"
	"github.com/gokexec/gokexec/pkg/kdumpconf"
	"github.com/gokexec/gokexec/pkg/reservation"
	"github.com/gokexec/gokexec/pkg/storage"
)

// setupConfigPath is the part of gokexec.conf that setup writes, so that it changes no file of the administrator's.
const setupConfigPath = "/etc/" + config.Name + ".d/50-setup.conf"

// plan makes the steps that set the machine up.
func (s *setup) plan(ctx context.Context) error {
	root := os.DirFS(s.env.sysroot)
	imported, err := s.imported(root)
	if err != nil {
		return err
	}
	machine, err := reservation.ReadMachine(root)
	if err != nil {
		return fmt.Errorf("read what the reservation depends on: %w", err)
	}
	_, s.report.Reserved = machine.Reserved()
	if err := s.planReservation(root, machine, imported); err != nil {
		return err
	}
	if err := s.planConfig(ctx, root, imported); err != nil {
		return err
	}
	return s.planUnits(ctx)
}

// imported is the configuration of the distribution's kdump, if it is asked for; never nil.
func (s *setup) imported(root fs.FS) (*kdumpconf.Imported, error) {
	if !s.options.imported {
		return &kdumpconf.Imported{}, nil
	}
	in, err := kdumpconf.Read(root)
	if err != nil {
		return nil, fmt.Errorf("--import: %w", err)
	}
	for _, u := range in.Unmatched {
		s.note("not imported: %s", u)
	}
	return in, nil
}

// words are those that the command line is to get, and whether they replace others: what is asked for, what an earlier setup
// chose, what is imported, what is recommended.
func (s *setup) words(m reservation.Machine, imported *kdumpconf.Imported) (words []string, replace bool) {
	const parameter = "crashkernel="
	switch {
	case s.options.crashkernel != "":
		for _, value := range strings.Fields(s.options.crashkernel) {
			words = append(words, parameter+value)
		}
		return words, true
	case s.record != nil && len(s.record.Words) > 0:
		return s.record.Words, false
	case imported.Crashkernel != "":
		for _, value := range strings.Fields(imported.Crashkernel) {
			words = append(words, parameter+value)
		}
		return words, false
	}
	size := reservation.Recommend(m)
	s.report.Why = size.Why
	return size.Words(), false
}

// planReservation plans the change of the command line.
func (s *setup) planReservation(root fs.FS, m reservation.Machine, imported *kdumpconf.Imported) error {
	words, replace := s.words(m, imported)
	s.report.Crashkernel = strings.Join(words, " ")
	c, err := bootloader.Set(root, words, replace)
	if err != nil {
		return &advice.Problem{What: fmt.Sprintf("%s: %v", c.Loader, err), Err: err, Hint: c.Manual}
	}
	s.report.Loader = c.Loader
	for _, line := range c.Notes {
		s.note("%s", line)
	}
	if kept := c.Kept(words); len(kept) > 0 && !replace {
		s.keep(m, kept, words)
	}
	s.report.Reboot = s.report.Reserved == 0 || !c.Nothing()
	if c.ByHand {
		s.leave(c.Manual)
	}
	if c.Nothing() || c.ByHand {
		return nil
	}
	s.planChange(c, func() {
		r := s.recorded()
		r.Loader, r.Words, r.Undo = c.Loader, words, c.Undo
		for _, p := range c.Present {
			if !slices.Contains(words, p.Word) && !slices.Contains(r.Present, p) {
				r.Present = append(r.Present, p)
			}
		}
	})
	s.verifyLast(func() error {
		again, err := bootloader.Set(root, words, replace)
		if err != nil || again.Nothing() {
			return err
		}
		return errors.New("done, but the configuration of the boot loader lacks " + strings.Join(words, " ") + " still")
	})
	return nil
}

// keep reports reservations that differ and stay, and whether they are too small.
func (s *setup) keep(m reservation.Machine, kept []bootloader.Reservation, words []string) {
	need := reservation.Recommend(m)
	for _, k := range kept {
		_, text, _ := strings.Cut(k.Word, "=")
		s.report.Crashkernel = k.Word
		v, err := reservation.Parse(text)
		if err == nil && (v.Kind != reservation.Plain || v.Size(m.RAM) >= need.Bytes) {
			s.note("%s is in %s already and stays", k.Word, k.Path)
			continue
		}
		why := "reserves less than this machine needs"
		if err != nil || v.Size(m.RAM) == 0 {
			why = "reserves nothing on this machine"
		}
		s.note("warning: %s is in %s already and stays, but %s; --crashkernel %q replaces it", k.Word, k.Path, why, need.Value)
	}
	s.report.Why = nil
}

// recorded is the record, a new one if there is none yet.
func (s *setup) recorded() *setupRecord {
	if s.record == nil {
		s.record = &setupRecord{Version: setupRecordVersion}
	}
	return s.record
}

// planChange plans files to write and commands to run; note puts the rest of it into the record before.
func (s *setup) planChange(c *bootloader.Change, note func()) {
	hint := c.Manual
	for i, f := range c.Files {
		if i > 0 {
			note = func() {}
		}
		s.planFile(f, publicFile, hint, note)
	}
	for i, command := range c.Commands {
		var before func()
		if i == 0 && len(c.Files) == 0 {
			before = note
		}
		s.step(setupStep{Action: "run", Object: strings.Join(command, " "), hint: hint, do: func(ctx context.Context) error {
			if before != nil {
				before()
				if err := s.record.save(s.files); err != nil {
					return err
				}
			}
			_, err := s.env.programs.run(ctx, command...)
			return err
		}})
	}
}

// planFile plans to write or to remove a file.
func (s *setup) planFile(f bootloader.File, perm fs.FileMode, hint string, note func()) {
	step := setupStep{Action: "write", Object: f.Path, Detail: changedLines(string(f.Old), string(f.New)), hint: hint}
	if f.New == nil {
		step.Action = "remove"
	}
	step.do = func(context.Context) error {
		if old, err := s.files.read(f.Path); err != nil {
			return err
		} else if digest(old) != digest(f.Old) {
			return errors.New("it was changed meanwhile: run setup again")
		}
		note()
		r := s.recorded()
		r.file(f.Path, f.Old, f.New)
		if err := r.save(s.files); err != nil {
			return err
		}
		if f.New == nil {
			return s.files.remove(f.Path)
		}
		if err := s.makeParents(f.Path); err != nil {
			return err
		}
		return s.files.write(f.Path, f.New, perm)
	}
	s.step(step)
}

// verifyLast has the last step of the plan checked after it is done.
func (s *setup) verifyLast(check func() error) {
	last := &s.report.Steps[len(s.report.Steps)-1]
	do := last.do
	last.do = func(ctx context.Context) error {
		if err := do(ctx); err != nil {
			return err
		}
		return check()
	}
}

// planConfig plans the drop-in of gokexec.conf with the targets and what is imported, and the directory where dumps go by
// default. What arm would refuse is refused here.
func (s *setup) planConfig(ctx context.Context, root fs.FS, imported *kdumpconf.Imported) error {
	settings := slices.Clone(imported.Settings)
	isTarget := func(c config.Setting) bool { return c.Section == "Capture" && c.Key == "Target" }
	if len(s.options.targets) > 0 {
		settings = slices.DeleteFunc(settings, isTarget)
		for _, t := range s.options.targets {
			settings = append(settings, config.Setting{Section: "Capture", Key: "Target", Value: t, Origin: "--target"})
		}
	}
	if i := slices.IndexFunc(settings, isTarget); i >= 0 {
		// An empty value takes those of other files away.
		settings = slices.Insert(settings, i, config.Setting{Section: "Capture", Key: "Target"})
	}
	c, err := s.withSettings(root, settings)
	if err != nil {
		return err
	}
	if err := s.env.checkArmTargets(c); err != nil {
		return err
	}
	s.noteTargets(ctx, c)
	if len(settings) > 0 {
		text, err := config.Format(settings, "Made by gokexec setup, which replaces it; gokexec setup --undo removes it.")
		if err != nil {
			return err
		}
		old, err := s.files.read(setupConfigPath)
		if err != nil {
			return err
		}
		if string(old) != string(text) {
			s.planFile(bootloader.File{Path: setupConfigPath, Old: old, New: text}, publicFile, "write the settings to "+config.LocalPath, func() {})
		}
	}
	return s.planTarget(c)
}

// noteTargets says what would keep gokexec arm from taking the targets after the reboot.
func (s *setup) noteTargets(ctx context.Context, c *configured) {
	targets, err := c.parsedTargets()
	if err != nil {
		return // checkArmTargets has said it
	}
	machine := s.env.storage()
	for _, t := range targets {
		r, err := machine.Resolve(ctx, t)
		var refusal *storage.Refusal
		if errors.As(err, &refusal) {
			s.note("warning: %v; %s", err, refusal.Instead)
		}
		if err != nil || c.initramfs.diskKeys != diskKeysNo {
			continue
		}
		for _, k := range r.Keys {
			s.note("warning: target %s lies on the encrypted volume %s, whose key the capture kernel needs: in %s, %s", t, k.Map, config.LocalPath, s.env.diskKeysAdvice(""))
		}
	}
}

// withSettings is the configuration that is in force with these settings in the drop-in, checked.
func (s *setup) withSettings(root fs.FS, settings []config.Setting) (*configured, error) {
	c, err := readConfig(root)
	if err != nil {
		return nil, err
	}
	for _, w := range c.warnings {
		s.note("warning: %s", w)
	}
	if len(settings) == 0 {
		return c, nil
	}
	others := slices.DeleteFunc(c.settings, func(c config.Setting) bool { return strings.HasPrefix(c.Origin, setupConfigPath+":") })
	return configureKnown(append(others, settings...))
}

// planTarget plans the default target's directory.
func (s *setup) planTarget(c *configured) error {
	if !slices.Contains(c.dumpTargets(), defaultTarget) {
		return nil
	}
	real, err := s.files.real(defaultTarget)
	if err != nil {
		return err
	}
	if info, err := fs.Stat(s.files.tree, real); err == nil {
		if !info.IsDir() {
			return &advice.Problem{What: defaultTarget + " is no directory", Hint: "remove it, or name another target: --target"}
		}
		return nil
	}
	s.step(setupStep{Action: "create", Object: defaultTarget, hint: "create it, or name another target: --target", do: func(context.Context) error {
		made, err := s.files.makeDirs(defaultTarget, 0o700)
		if err != nil {
			return err
		}
		return s.madeDirs(made)
	}})
	return nil
}

// makeParents creates the directory of a file.
func (s *setup) makeParents(name string) error {
	made, err := s.files.makeDirs(name[:strings.LastIndexByte(name, '/')], 0o755)
	if err != nil {
		return err
	}
	return s.madeDirs(made)
}

func (s *setup) madeDirs(made []string) error {
	if len(made) == 0 {
		return nil
	}
	r := s.recorded()
	r.Directories = append(r.Directories, made...)
	return r.save(s.files)
}

// changedLines shows how a text changes: lines that go, with -, and that come, with +. Those at the beginning and the end that
// stay are left out.
func changedLines(old, text string) []string {
	a, b := splitLines(old), splitLines(text)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var lines []string
	for _, line := range a {
		lines = append(lines, "- "+line)
	}
	for _, line := range b {
		lines = append(lines, "+ "+line)
	}
	return lines
}

func splitLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
	return lines
}
