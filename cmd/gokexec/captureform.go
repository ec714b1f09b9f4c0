package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// formOptions are the form of a dump, in capture and initramfs alike.
type formOptions struct{ level, format, compress string }

func (o *formOptions) register(flags *pflag.FlagSet) {
	formats, codecs := captureFormats(), codecNames()
	flags.StringVar(&o.level, "dump-level", "", "`LEVEL` of what is left out of the dump, as makedumpfile -d: the sum of 1 (zero pages), 2 (page cache), 4 (all page cache), 8 (memory of processes) and 16 (free memory); or several with commas in between, of which the next is tried if a target is full; "+capture.DefaultDumpLevel+" by default")
	flags.StringVar(&o.format, "format", "", fmt.Sprintf("`FORMAT` of the dump: %s (makedumpfile's, compressed, the default) or %s", formats[0], strings.Join(formats[1:], ", ")))
	flags.StringVar(&o.compress, "compress", "", "`CODEC` for the pages of a kdump dump: "+alternatives(codecs)+"; "+capture.DefaultCompress+" by default")
}

// captureFormats are the values of --format.
func captureFormats() []string {
	var names []string
	for _, f := range capture.Formats() {
		names = append(names, string(f))
	}
	return names
}

// codecNames are the values of --compress.
func codecNames() []string {
	var names []string
	for _, c := range kdumpfile.Codecs() {
		names = append(names, c.String())
	}
	return names
}

// alternatives joins words: "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// given reports whether one of them is.
func (o *formOptions) given() bool { return *o != formOptions{} }

func (o *formOptions) apply(cfg *capture.Config) {
	cfg.DumpLevel, cfg.Format, cfg.Compress = o.level, capture.Format(o.format), o.compress
}
