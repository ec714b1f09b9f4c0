package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// Format is the form in which the memory is saved.
type Format string

// The formats.
const (
	// FormatKdump is the compressed format of makedumpfile.
	FormatKdump Format = "kdump"
	// FormatELF is an ELF core file, which has nothing compressed. With dump level 0 it is the file
	// as the kernel shows it, byte by byte.
	FormatELF Format = "elf"
)

// Formats lists the formats, the default first.
func Formats() []Format { return []Format{FormatKdump, FormatELF} }

// Defaults of what is left out, and how the rest is packed.
const (
	DefaultDumpLevel = "31"
	DefaultCompress  = "zstd"
)

// Parameters of the capture kernel's command line: they count before what is configured.
const (
	LevelParam    = "gokexec.dump_level"
	FormatParam   = "gokexec.format"
	CompressParam = "gokexec.compress"
)

// form is the form of a dump, as it was asked for.
type form struct {
	format Format
	codec  kdumpfile.Codec
	levels []pagefilter.Level // at least one
}

// form reads Format, Compress and DumpLevel.
func (c Config) form() (form, error) {
	f := form{format: c.Format}
	if f.format == "" {
		f.format = FormatKdump
	}
	if !slices.Contains(Formats(), f.format) {
		var names []string
		for _, name := range Formats() {
			names = append(names, string(name))
		}
		return f, fmt.Errorf("format %q is not one of %s", f.format, strings.Join(names, ", "))
	}
	compress, level := c.Compress, c.DumpLevel
	if compress == "" {
		compress = DefaultCompress
	}
	if level == "" {
		level = DefaultDumpLevel
	}
	var err error
	if f.codec, err = kdumpfile.ParseCodec(compress); err != nil {
		return f, fmt.Errorf("compress: %w", err)
	}
	if f.format == FormatELF {
		if c.Compress != "" && f.codec != kdumpfile.CodecNone {
			return f, fmt.Errorf("compress %s goes with format %s: format %s has nothing compressed", compress, FormatKdump, FormatELF)
		}
		f.codec = kdumpfile.CodecNone
	}
	if f.levels, err = pagefilter.ParseLevels(level); err != nil {
		return f, fmt.Errorf("dump_level: %w", err)
	}
	return f, nil
}

// filters reports whether anything is to be left out but what must not be read.
func (f form) filters() bool {
	return slices.ContainsFunc(f.levels, func(l pagefilter.Level) bool { return l != 0 })
}

// chooses reports whether anything is to be left out.
func (f form) chooses() bool {
	return slices.ContainsFunc(f.levels, func(l pagefilter.Level) bool { return !f.plain(l) })
}

// plain reports whether a dump of a level is the ELF file as it is.
func (f form) plain(l pagefilter.Level) bool { return f.format == FormatELF && l == 0 }

// text names the form of a dump of one level: "kdump, zstd, level 31".
func (f form) text(l pagefilter.Level) string {
	if f.format == FormatELF {
		return fmt.Sprintf("%s, level %d", f.format, l)
	}
	return fmt.Sprintf("%s, %s, level %d", f.format, f.codec, l)
}

// withCmdline is the configuration with what a kernel command line says of the form. What can't be
// understood there is ignored, and returned: a dump of another form is better than none.
func (c Config) withCmdline(text string) (Config, []error) {
	line, err := cmdline.Parse(text)
	if err != nil {
		return c, []error{fmt.Errorf("the kernel command line: %w", err)}
	}
	var ignored []error
	set := func(name string, change func(*Config, string)) {
		for _, a := range line.Args {
			if !cmdline.Same(a.Name, name) {
				continue
			}
			changed := c
			change(&changed, a.Value)
			_, err := changed.form()
			if a.Value == "" {
				err = errors.New("it has no value")
			}
			if err != nil {
				ignored = append(ignored, fmt.Errorf("%s on the kernel command line is ignored: %w", a.Text, err))
				continue
			}
			c = changed
		}
	}
	set(FormatParam, func(c *Config, v string) {
		if c.Format = Format(v); c.Format == FormatELF {
			c.Compress = ""
		}
	})
	set(CompressParam, func(c *Config, v string) { c.Compress = v })
	set(LevelParam, func(c *Config, v string) { c.DumpLevel = v })
	return c, ignored
}
