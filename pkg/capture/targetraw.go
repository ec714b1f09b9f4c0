package capture

import (
	"context"
	"errors"
)

// TargetRaw is a block device, or an image file, written as a tar stream.
const TargetRaw TargetType = "raw"

func rawKind() targetKind {
	return targetKind{
		name: TargetRaw, prefix: "raw", usage: "raw:DEVICE", place: OnDevice,
		parse: func(rest string) (Target, error) { return Target{Device: rest}, nil },
		text:  func(t Target) string { return deviceText(t.Device) },
		own: func(t Target) Target {
			return Target{Type: t.Type, Device: t.Device, Overwrite: t.Overwrite, Stack: t.Stack}
		},
		fields:   "a device and a stack",
		validate: func(t Target) error { return validDevice(t.Device) },
		lost:     func(Target) string { return "" },
		open:     openRawTarget,
	}
}

func openRawTarget(ctx context.Context, o *opening) (sink, error) {
	p, err := o.device(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newRaw(o.sys, p, rawPolicy{o.target.Overwrite, o.cfg.keepDump()}, o.when)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return s, nil
}
