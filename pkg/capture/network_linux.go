//go:build !gokexec_local

package capture

import (
	"github.com/gokexec/gokexec/internal/rtnetlink"
	"github.com/gokexec/gokexec/pkg/network"
)

// linuxNetwork is the network of the running kernel.
type linuxNetwork struct{}

func (linuxNetwork) Network() (network.Maker, error) { return rtnetlink.Kernel{}, nil }
