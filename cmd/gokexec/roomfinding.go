package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/storage"
)

// estimateTimeout is how long check may look at the pages of the machine.
const estimateTimeout = 10 * time.Second

// roomFindings compares the room of targets of this machine with how large a dump would be now. What
// can't be read is unknown: memory changes while it is looked at, and only root may.
func (e *env) roomFindings(ctx context.Context, named []string, initrd string) []advice.Finding {
	cfg, err := initrdConfig(initrd)
	if err != nil {
		return nil // targetFindings says so
	}
	for _, text := range named {
		if t, err := capture.ParseTarget(text); err == nil && t.Store == nil { // nobody knows the room of a store
			cfg.Targets = append(cfg.Targets, t)
		}
	}
	if len(cfg.Targets) == 0 {
		return nil
	}
	size, level, err := e.dumpSize(ctx, &cfg)
	if err != nil {
		return []advice.Finding{{Check: "dump size", Level: advice.Unknown, Detail: "can't be estimated: " + oneLine(err.Error()), Remedy: "run as root; gokexec dump --estimate takes its time"}}
	}
	var findings []advice.Finding
	machine := e.storage()
	for _, t := range cfg.Targets {
		findings = append(findings, roomFinding(ctx, machine, &cfg, t, size, level))
	}
	return findings
}

func roomFinding(ctx context.Context, machine *storage.Machine, cfg *capture.Config, t capture.Target, size int64, level pagefilter.Level) advice.Finding {
	f := advice.Finding{Check: "dump size"}
	needs := fmt.Sprintf("a dump of level %d takes about %s now", level, sizeText(float64(size)))
	space, raw, err := machine.RoomOf(ctx, t)
	room := cfg.Room(space)
	if raw {
		room = space.Available // nothing is kept free on a device
	}
	switch {
	case err != nil:
		f.Level, f.Detail = advice.Unknown, fmt.Sprintf("%s; the room of %s is not known: %s", needs, t, oneLine(err.Error()))
		f.Remedy = "mount it, and check again"
	case room < size:
		f.Level, f.Detail = advice.Warning, fmt.Sprintf("%s has room for %s: %s", t, sizeText(float64(room)), needs)
		f.Remedy = "make room, name another target, or a higher dump level; gokexec dump --estimate shows what it depends on"
	default:
		f.Level, f.Detail = advice.OK, fmt.Sprintf("%s, and %s has room for %s", needs, t, sizeText(float64(room)))
	}
	return f
}

// dumpSize estimates a dump of the running machine in the form of a capture, of the level that leaves out most.
func (e *env) dumpSize(ctx context.Context, cfg *capture.Config) (int64, pagefilter.Level, error) {
	levels, err := pagefilter.ParseLevels(cmp.Or(cfg.DumpLevel, capture.DefaultDumpLevel))
	if err != nil {
		return 0, 0, err
	}
	codec, err := kdumpfile.ParseCodec(cmp.Or(cfg.Compress, capture.DefaultCompress))
	if err != nil {
		return 0, 0, err
	}
	memory, err := e.openRunning()
	if err != nil {
		return 0, 0, err
	}
	defer memory.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, estimateTimeout, errors.New("it takes too long on this machine"))
	defer cancel()
	est, err := memory.excerpt(0).Estimate(ctx, codec)
	if err != nil {
		return 0, 0, err
	}
	level := levels[len(levels)-1]
	if cfg.Format == capture.FormatELF {
		return est.ELFBytes(level), level, nil
	}
	return est.Bytes(level), level, nil
}
