package loader

import (
	"bytes"
	"context"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// specBySegments is a load by kexec_load of what is in memory.
func specBySegments(kind machine.Kind, kernel []byte) *plan.Spec {
	return &plan.Spec{Kind: kind, Method: plan.Segments, Kernel: plan.FromBytes("kernel", kernel), Initrd: plan.FromBytes("initrd", bytes.Repeat([]byte("initrd"), 3000)),
		Cmdline: "console=ttyS0", Seed: bytes.Repeat([]byte{7}, plan.SeedSize)}
}

// loadPlan makes one load of a plan, without the lock.
func (l *Loader) loadPlan(ctx context.Context, p *plan.Plan) error {
	in, err := plan.Open(p.Spec)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = l.load(ctx, in, p, nil)
	return err
}

// loadOnly is Load for a test that asks for its error only.
func (l *Loader) loadOnly(ctx context.Context, spec *plan.Spec) error {
	_, err := l.Load(ctx, spec)
	return err
}

// settle is loadSettled of plans that are made without reading the machine.
func (l *Loader) settle(ctx context.Context, make func() (*plan.Plan, error)) (*plan.Plan, *accuracy.Verification, error) {
	in := &plan.Inputs{}
	return l.loadSettled(ctx, in, maxRounds, func() (*plan.Plan, *machine.Host, error) {
		p, err := make()
		if err != nil {
			return nil, nil, err
		}
		opened, err := plan.Open(p.Spec)
		if err == nil {
			in.Close()
			*in = *opened
		}
		return p, nil, err
	})
}
