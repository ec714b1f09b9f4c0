package capture

import "context"

// TargetRaw is a block device, or an image file, written as a tar stream.
const TargetRaw TargetType = "raw"

func rawKind() targetKind {
	return targetKind{
		name: TargetRaw, prefix: "raw", usage: "raw:DEVICE", place: OnDevice,
		parse:    func(rest string) (Target, error) { return Target{Device: rest}, nil },
		text:     func(t Target) string { return deviceText(t.Device) },
		own:      func(t Target) Target { return Target{Type: t.Type, Device: t.Device, Overwrite: t.Overwrite} },
		fields:   "a device",
		validate: func(t Target) error { return validDevice(t.Device) },
		lost:     func(Target) string { return "" },
		open:     openRawTarget,
	}
}

func openRawTarget(ctx context.Context, o *opening) (sink, error) {
	device, _, err := o.device(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newRaw(o.sys, device.Node, rawPolicy{o.target.Overwrite, o.cfg.keepDump()}, o.when)
	if err != nil {
		return nil, err
	}
	return s, nil
}
