package capture

// NewSystem returns the running system.
func NewSystem() System { return &linuxSystem{} }

type linuxSystem struct {
	linuxFiles
	linuxMounts
	linuxProcess
}
