package machine

import (
	"compress/gzip"
	"io"
	"io/fs"
	"strings"
)

// KernelConfig is a kernel's build configuration, as far as it is published:
// CONFIG names without prefix to their values; nil when there is none to read.
type KernelConfig map[string]string

// ReadKernelConfig looks for /proc/config.gz, then for the file that
// distributions ship with the kernel.
func ReadKernelConfig(root fs.FS, release string) KernelConfig {
	if f, err := root.Open("proc/config.gz"); err == nil {
		defer f.Close()
		if z, err := gzip.NewReader(f); err == nil {
			if b, err := io.ReadAll(io.LimitReader(z, 4<<20)); err == nil {
				return parseKernelConfig(string(b))
			}
		}
	}
	if release == "" {
		return nil
	}
	for _, name := range []string{
		"boot/config-" + release,
		"usr/lib/modules/" + release + "/config",
		"lib/modules/" + release + "/config",
		"usr/lib/kernel/config-" + release,
	} {
		if b, err := fs.ReadFile(root, name); err == nil {
			return parseKernelConfig(string(b))
		}
	}
	return nil
}

func parseKernelConfig(s string) KernelConfig {
	c := KernelConfig{}
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# CONFIG_"); ok {
			if name, ok := strings.CutSuffix(name, " is not set"); ok {
				c[name] = "n"
			}
			continue
		}
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "CONFIG_"), "="); ok && strings.HasPrefix(line, "CONFIG_") {
			c[name] = strings.Trim(value, `"`)
		}
	}
	return c
}

// Off is true only when the configuration is known and lacks the option.
func (c KernelConfig) Off(name string) bool {
	return c != nil && (c[name] == "" || c[name] == "n")
}

// On is true only when the configuration is known and has the option.
func (c KernelConfig) On(name string) bool {
	return c[name] == "y" || c[name] == "m"
}
