package kmod

import (
	"slices"
	"testing"
	"testing/fstest"
)

// An interface needs its driver, that of the bus above, and its PHY's.
func TestModulesForInterface(t *testing.T) {
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Mode: 0o777 | 1<<27, Data: []byte(to)} }
	const dir = "sys/devices/pci0000:00/0000:00:03.0"
	root := fstest.MapFS{
		"sys/class/net/eth0":                       link("../../devices/pci0000:00/0000:00:03.0/virtio1/net/eth0"),
		dir + "/modalias":                          {Data: []byte("pci:v00001AF4d00001000\n")},
		dir + "/driver":                            link("../../../bus/pci/drivers/virtio-pci"),
		dir + "/virtio1/modalias":                  {Data: []byte("virtio:d00000001v00001AF4\n")},
		dir + "/virtio1/driver":                    link("../../../../bus/virtio/drivers/virtio_net"),
		dir + "/virtio1/net/eth0/device":           link("../../../virtio1"),
		"sys/bus/pci/drivers/virtio-pci/bind":      {},
		"sys/bus/pci/drivers/virtio-pci/module":    link("../../../../module/virtio_pci"),
		"sys/bus/virtio/drivers/virtio_net/bind":   {},
		"sys/bus/virtio/drivers/virtio_net/module": link("../../../../module/virtio_net"),
		"sys/module/virtio_pci/refcnt":             {Data: []byte("1\n")},
		"sys/module/virtio_net/refcnt":             {Data: []byte("1\n")},
	}
	tree, err := Open(fstest.MapFS{
		"lib/modules/6.12/modules.dep":     {Data: []byte("a/virtio_pci.ko:\na/virtio_net.ko: a/failover.ko\na/failover.ko:\na/realtek.ko:\n")},
		"lib/modules/6.12/modules.alias":   {Data: []byte("alias mdio:0000000000011100* realtek\n")},
		"lib/modules/6.12/modules.builtin": {},
		"lib/modules/6.12/a/virtio_pci.ko": {}, "lib/modules/6.12/a/virtio_net.ko": {}, "lib/modules/6.12/a/failover.ko": {}, "lib/modules/6.12/a/realtek.ko": {},
	}, "6.12")
	if err != nil {
		t.Fatal(err)
	}
	names, err := tree.ModulesForInterface(root, "eth0")
	if err != nil || !slices.Equal(names, []string{"virtio_pci", "virtio_net"}) {
		t.Errorf("%q, %v", names, err)
	}
	root[dir+"/virtio1/net/eth0/phydev"] = link("../../mdio_bus/0:00")
	root[dir+"/virtio1/mdio_bus/0:00/modalias"] = &fstest.MapFile{Data: []byte("mdio:00000000000111001100100100010101\n")}
	names, err = tree.ModulesForInterface(root, "eth0")
	if err != nil || !slices.Equal(names, []string{"virtio_pci", "virtio_net", "realtek"}) {
		t.Errorf("with a PHY: %q, %v", names, err)
	}
	if names, err := tree.ModulesForInterface(root, "eth9"); err == nil {
		t.Errorf("one that is not there: %q", names)
	}
}
