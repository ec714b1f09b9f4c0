package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
)

// hookOptions are the programs that run around a capture.
type hookOptions struct {
	pre, post, emergency []string
	timeout              int // seconds; 0 is the default
}

func (o *hookOptions) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.pre, "hook-pre", nil, "program `FILE` to run before the capture, which goes in with its libraries (may be repeated)")
	flags.StringArrayVar(&o.post, "hook-post", nil, "program `FILE` to run after the capture, however it went (may be repeated)")
	flags.StringArrayVar(&o.emergency, "hook-emergency", nil, "program `FILE` to run after that, if not everything is saved (may be repeated)")
	flags.IntVar(&o.timeout, "hook-timeout", 0, fmt.Sprintf("`SECONDS` after which a hook is killed; %d by default", int(capture.DefaultHookTimeout.Seconds())))
}

// absolute is for those of a configuration, which knows no current directory.
func (o *hookOptions) absolute() error {
	for _, name := range slices.Concat(o.pre, o.post, o.emergency) {
		if !filepath.IsAbs(name) {
			return fmt.Errorf("%q is no absolute path", name)
		}
	}
	return nil
}

// apply puts the hooks into a configuration, by absolute paths.
func (o *hookOptions) apply(cfg *capture.Config) error {
	cfg.Hooks.TimeoutSeconds = o.timeout
	for _, stage := range []struct {
		names []string
		to    *[]string
	}{{o.pre, &cfg.Hooks.Pre}, {o.post, &cfg.Hooks.Post}, {o.emergency, &cfg.Hooks.Emergency}} {
		for _, name := range stage.names {
			full, err := filepath.Abs(name)
			if err != nil {
				return err
			}
			*stage.to = append(*stage.to, full)
		}
	}
	return nil
}

// without leaves out a program, and tells whether it was there. A file that is added stays, without its libraries.
func (o *initramfsOptions) without(program string) bool {
	found := false
	for _, list := range []*[]string{&o.hooks.pre, &o.hooks.post, &o.hooks.emergency} {
		rest := slices.DeleteFunc(slices.Clone(*list), func(name string) bool { return filepath.Clean(name) == program })
		found = found || len(rest) < len(*list)
		*list = rest
	}
	if slices.Contains(o.add, program) && !slices.Contains(o.plain, program) {
		found, o.plain = true, append(o.plain, program)
	}
	return found
}

// addPrograms names what goes in with its libraries: the hooks, and of the additional files the programs that keep
// their place. For another machine they are taken from the tree of that.
func (o *initramfsOptions) addPrograms(e *env, root fs.FS, settings *capture.Config, cfg *initramfs.Config) error {
	elsewhere, err := o.elsewhere()
	if err != nil {
		return err
	}
	cfg.Machine = os.DirFS(e.sysroot)
	if elsewhere {
		cfg.Machine = root
	}
	for _, name := range slices.Concat(settings.Hooks.Pre, settings.Hooks.Post, settings.Hooks.Emergency) {
		if !slices.Contains(cfg.Programs, name) {
			cfg.Programs = append(cfg.Programs, name)
		}
	}
	for _, f := range cfg.Files {
		if name := "/" + f.Path; !elsewhere && slices.Contains(o.add, name) && !slices.Contains(o.plain, name) && isProgram(f) {
			cfg.Programs = append(cfg.Programs, "/"+f.Path)
		}
	}
	return nil
}

// isProgram reports whether a file is one that something has to start.
func isProgram(f initramfs.File) bool {
	head := make([]byte, len(elf.ELFMAG))
	_, err := f.Content.ReadAt(head, 0)
	return err == nil && f.Mode.Perm()&0o111 != 0 && (string(head) == elf.ELFMAG || bytes.HasPrefix(head, []byte("#!"))) && !strings.Contains(filepath.Base(f.Path), ".so")
}
