package kexectest

import (
	"os"
	"testing"

	"github.com/gokexec/gokexec/pkg/machine"
)

// Arch is the architecture of that name, or the end of the test.
func Arch(t testing.TB, name string) machine.Arch {
	t.Helper()
	a, err := machine.ArchByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Host reads the machine as one of that architecture.
func (m *Machine) Host(arch string) *machine.Host {
	m.t.Helper()
	h, err := machine.ReadHost(os.DirFS(m.Dir), Arch(m.t, arch))
	if err != nil {
		m.t.Fatal(err)
	}
	return h
}
