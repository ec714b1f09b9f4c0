package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/storage"
)

// tryTargets saves something small to the targets over the network, as a capture would, and removes it.
func (e *env) tryTargets(ctx context.Context, named []string, nfsOptions string) []advice.Finding {
	cfg := capture.Config{}
	if c, err := readConfig(os.DirFS(e.sysroot)); err == nil {
		c.initramfs.limits.apply(&cfg)
		if nfsOptions == "" {
			nfsOptions = c.initramfs.nfsOptions
		}
	}
	var findings []advice.Finding
	for i, text := range named {
		t, err := capture.ParseTarget(text)
		if err != nil || !t.Remote() {
			continue // targetFindings says what is wrong
		}
		if t.Type == capture.TargetNFS {
			t.MountOptions = nfsOptions
		}
		if t, err = e.configuredStore(t); err != nil {
			findings = append(findings, advice.Finding{Check: "target tried", Level: advice.Failure, Detail: oneLine(err.Error()), Remedy: "correct gokexec.conf"})
			continue
		}
		findings = append(findings, e.tryTarget(ctx, cfg, t, i))
	}
	return findings
}

func (e *env) tryTarget(ctx context.Context, cfg capture.Config, t capture.Target, n int) advice.Finding {
	f := advice.Finding{Check: "target tried"}
	t = storage.WithMachine(os.DirFS(e.sysroot), t)
	begin := time.Now()
	point := filepath.Join("/run/gokexec/try", fmt.Sprintf("%d-%d", os.Getpid(), n))
	defer os.Remove(point)
	opt := capture.Options{MountPoint: point}
	if t.Store != nil {
		program, err := e.remoteProgram()
		if err != nil {
			f.Level, f.Detail, f.Remedy = advice.Failure, oneLine(err.Error()), advice.Hint(err)
			return f
		}
		opt.RemoteProgram = program
	}
	said := ""
	err := capture.Try(ctx, cfg, t, opt, func(format string, args ...any) { said = fmt.Sprintf(format, args...) })
	if err != nil {
		f.Level, f.Detail, f.Remedy = advice.Failure, oneLine(err.Error()), "see to the server and the way to it, or name another target"
		return f
	}
	f.Detail = fmt.Sprintf("%s takes data: something small was written, read back and removed in %.1f s", t, time.Since(begin).Seconds())
	if said != "" {
		f.Detail += "; " + said
	}
	return f
}
