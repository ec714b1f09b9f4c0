//go:build gokexec_local

package capture

import (
	"errors"

	"github.com/gokexec/gokexec/pkg/network"
)

// linuxNetwork is none, in a gokexec for captures to disks.
type linuxNetwork struct{}

func (linuxNetwork) Network() (network.Maker, error) {
	return nil, errors.New("this gokexec was built without the network (tag gokexec_local)")
}
