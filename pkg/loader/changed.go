package loader

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// refuseChanged judges inputs that have changed since a load that is made again over what is loaded: a
// crash kernel that is loaded is worth more than one that can't save a dump. A Failure of check.Initrd
// is an error, and so are modules of another kernel, unless Spec.Force is set. changed are the paths
// of those files; for none nothing is read.
func (l *Loader) refuseChanged(host *machine.Host, in *plan.Inputs, p *plan.Plan, changed []string) error {
	err := l.judgeChanged(host, in, p, changed, func(f advice.Finding) bool {
		return f.Level == advice.Failure || f.Level == advice.Warning && f.Check == check.InitrdKernel && !p.Spec.Force
	})
	var problem *advice.Problem
	if errors.As(err, &problem) {
		problem.What += "; what is loaded is kept"
	}
	return err
}

// refuseRestored judges inputs that have changed since a load that is made again while nothing is
// loaded: as a load does.
func (l *Loader) refuseRestored(host *machine.Host, in *plan.Inputs, p *plan.Plan, changed []string) error {
	return l.judgeChanged(host, in, p, changed, func(f advice.Finding) bool { return f.Level == advice.Failure })
}

func (l *Loader) judgeChanged(host *machine.Host, in *plan.Inputs, p *plan.Plan, changed []string, refuse func(advice.Finding) bool) error {
	if len(changed) == 0 {
		return nil
	}
	initrd := p.Initrd != nil && slices.ContainsFunc(changed, func(path string) bool { return samePath(path, p.Initrd.Path) })
	for _, f := range check.Initrd(nil, in, p, host) {
		if !initrd && f.Check != check.InitrdKernel {
			continue // it was taken as it is
		}
		if refuse(f) {
			problem := f.Problem()
			problem.What = fmt.Sprintf("%s changed since the last load, and would make a crash kernel that saves no dump: %s", strings.Join(changed, ", "), f.Detail)
			return problem
		}
		if f.Level >= advice.Warning {
			l.report("warning: " + f.Detail)
		}
	}
	return nil
}

// samePath compares a path with one that may be relative.
func samePath(a, b string) bool {
	abs, err := filepath.Abs(b)
	return a == b || err == nil && a == abs
}
