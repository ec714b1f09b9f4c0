// Package kconfig reads the configuration that a kernel was built with.
package kconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/internal/decompress"
	"github.com/gokexec/gokexec/internal/sysfs"
)

// maxConfig bounds a configuration, in bytes; a distribution's has some 300 kB.
const maxConfig = 8 << 20

// Config maps options, without CONFIG_, to their values: "y", "m", "n" for one that is not set, a
// number, or a text without its quotes. nil is a configuration that is not known.
type Config map[string]string

// Off reports whether the configuration is known and lacks the option.
func (c Config) Off(name string) bool { return c != nil && (c[name] == "" || c[name] == "n") }

// On reports whether the configuration is known and has the option, built in or as a module.
func (c Config) On(name string) bool { return c[name] == "y" || c[name] == "m" }

// BuiltIn reports whether the option is y.
func (c Config) BuiltIn(name string) bool { return c[name] == "y" }

// Running reads the configuration of the kernel that runs, which it publishes with
// CONFIG_IKCONFIG_PROC. The error wraps fs.ErrNotExist where it doesn't.
func Running(root fs.FS) (Config, error) {
	const name = "proc/config.gz"
	f, err := root.Open(name)
	if err != nil {
		return nil, sysfs.Rooted(err)
	}
	defer f.Close()
	z, err := decompress.Named("gzip").Open(f, decompress.MaxWindow)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", name, err)
	}
	b, err := io.ReadAll(io.LimitReader(z, maxConfig+1))
	if err == nil && len(b) > maxConfig {
		err = fmt.Errorf("it unpacks to more than %d bytes", maxConfig)
	}
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", name, err)
	}
	return parse(name, b)
}

// OfRelease reads the file that distributions ship with the kernel of a release (uname -r), which it
// looks for in the usual places. It returns nil and no error if there is none.
func OfRelease(root fs.FS, release string) (Config, error) {
	for _, name := range []string{
		"boot/config-" + release,
		"usr/lib/modules/" + release + "/config",
		"lib/modules/" + release + "/config",
		"usr/lib/kernel/config-" + release,
		"usr/lib/ostree-boot/config-" + release,
	} {
		b, err := sysfs.ReadFile(root, name, maxConfig)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return parse(name, b)
	}
	return nil, nil
}

func parse(name string, b []byte) (Config, error) {
	c, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", name, err)
	}
	return c, nil
}

// Parse reads a .config (scripts/kconfig/confdata.c). One that sets nothing is an error.
func Parse(b []byte) (Config, error) {
	c := Config{}
	set := false
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimRight(line, "\r\n ")
		if name, ok := strings.CutPrefix(line, "# CONFIG_"); ok {
			if name, ok := strings.CutSuffix(name, " is not set"); ok {
				c[name] = "n"
			}
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, prefixed := strings.CutPrefix(name, "CONFIG_")
		if !ok || !prefixed {
			return nil, fmt.Errorf("line %d: %.200q is not CONFIG_X=value", n, line)
		}
		c[name] = strings.Trim(value, `"`)
		set = set || c[name] != "n"
	}
	if !set {
		return nil, errors.New("sets no option")
	}
	return c, nil
}
