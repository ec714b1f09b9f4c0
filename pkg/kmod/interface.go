package kmod

import (
	"fmt"
	"io/fs"
	"slices"
)

// ModulesForInterface returns the names of the modules of this tree that a network interface of the machine at root
// needs, as ModulesForBlockDevice does: its driver's, those of the buses above it, and the driver of its PHY, which the
// first asks for. name is the kernel's: eth0.
func (t *Tree) ModulesForInterface(root fs.FS, name string) ([]string, error) {
	dir := "sys/class/net/" + name
	names, err := t.ModulesForDevice(root, dir+"/device")
	if err != nil {
		return nil, fmt.Errorf("network interface %s: %w", name, err)
	}
	if !exists(root, dir+"/phydev") { // net/core/net-sysfs.c, drivers/net/phy/phy_device.c (phy_attach_direct)
		return names, nil
	}
	phy, err := t.ModulesForDevice(root, dir+"/phydev")
	if err != nil {
		return nil, fmt.Errorf("network interface %s: its PHY: %w", name, err)
	}
	for _, n := range phy {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names, nil
}
