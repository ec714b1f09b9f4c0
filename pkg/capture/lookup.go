package capture

import "context"

// FindDevice looks once for a target's device, named as in [Target.Device], on
// the running system. It returns the path of its node and what it holds.
func FindDevice(ctx context.Context, device string) (node string, holds []Signature, err error) {
	ref, err := parseDevice(device)
	if err != nil {
		return "", nil, err
	}
	f := deviceFinder{sys: NewSystem(), touch: func() {}}
	return f.find(ctx, ref)
}
