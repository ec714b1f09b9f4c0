package capture

import (
	"context"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// FindDevice looks once for a target's device, named as in [Target.Device], on
// the running system.
func FindDevice(ctx context.Context, device string) (*blkid.Device, error) {
	ref, err := blkid.ParseRef(device)
	if err != nil {
		return nil, err
	}
	f := deviceFinder{sys: NewSystem(), touch: func() {}}
	return f.find(ctx, ref)
}
