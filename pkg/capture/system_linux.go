package capture

import "github.com/gokexec/gokexec/internal/devmapper"

// NewSystem returns the running system.
func NewSystem() System { return &linuxSystem{linuxDevices: linuxDevices{devmapper.New()}} }

type linuxSystem struct {
	linuxFiles
	linuxMounts
	linuxDevices
	linuxProcess
	linuxNetwork
}
