package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/capture"
)

// limitOptions are what a dump leaves alone, in capture and initramfs alike.
type limitOptions struct {
	keepFree string
	keepDump int
}

func (o *limitOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.keepFree, "keep-free", "", "`SIZE` (512M, 2G) or part (10%) of a filesystem that a dump leaves free; 5% or 1G by default, whichever is less")
	flags.IntVar(&o.keepDump, "keep-dump", capture.DefaultKeepDumpDays, fmt.Sprintf("`DAYS` for which raw: targets do not overwrite a complete dump, but leave it to the next target; %d by default", capture.DefaultKeepDumpDays))
}

// given reports whether one of them differs from the default.
func (o *limitOptions) given() bool {
	return o.keepFree != "" || o.keepDump != capture.DefaultKeepDumpDays
}

func (o *limitOptions) apply(cfg *capture.Config) {
	cfg.KeepFree = o.keepFree
	if o.keepDump != capture.DefaultKeepDumpDays {
		cfg.KeepDumpDays = &o.keepDump
	}
}
