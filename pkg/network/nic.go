package network

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// hardware records a NIC.
func (b *builder) hardware(i Interface) (int, error) {
	nic, err := b.nic(i)
	if err != nil {
		return 0, err
	}
	if n, ok := b.at[i.Index]; ok {
		return n, nil // a port of a bond that was met before
	}
	l := linkOf(i)
	l.NIC = nic
	if i.MAC != nic.MAC && nic.MAC != "" && i.Master == 0 && validMAC(i.MAC) {
		l.MAC = i.MAC
	}
	b.out.NICs = append(b.out.NICs, i.Name)
	return b.add(l), nil
}

// nic describes hardware, and refuses what a capture kernel can't use.
func (b *builder) nic(i Interface) (*NIC, error) {
	dir := "sys/class/net/" + i.Name
	switch {
	case i.Type == "loopback":
		return nil, refuse("name another machine", "%s leads to this machine itself", i.Name)
	case b.exists(dir+"/wireless") || b.exists(dir+"/phy80211"):
		return nil, refuse(takeOther, "%s is a wireless interface: nothing authenticates it in the capture kernel", i.Name)
	case i.Type == "ppp":
		return nil, refuse(takeOther, "%s is a PPP connection, which no program makes in the capture kernel", i.Name)
	case i.Type == "infiniband":
		return nil, refuse(takeOther, "%s is InfiniBand, which gokexec does not bring up", i.Name)
	case i.Type != "ether":
		return nil, refuse(takeOther, "%s is no Ethernet interface, but %s", i.Name, i.Type)
	case strings.Contains(b.attribute(dir+"/uevent"), "DEVTYPE=wwan"):
		return nil, refuse(takeOther, "%s is a mobile modem, which no program connects in the capture kernel", i.Name)
	case strings.Contains(b.attribute(dir+"/uevent"), "DEVTYPE=dsa"):
		return nil, refuse(takeOther, "%s is a port of a switch chip (DSA), which gokexec does not set up", i.Name)
	case !b.exists(dir + "/device"):
		return nil, refuse(takeOther, "%s is no hardware, and of no kind that gokexec makes in a capture kernel", i.Name)
	case b.exists(dir + "/device/physfn"):
		return nil, refuse("use the physical function's own interface", "%s is a virtual function (SR-IOV) of a card of this machine: nothing makes it in the capture kernel", i.Name)
	}
	n := &NIC{MAC: b.permanent(i), Path: devicePath(b.Root, i.Name), Port: port(b.Root, i.Name), Driver: b.driver(dir)}
	if n.MAC == "" {
		if n.Path == "" {
			return nil, refuse(takeOther, "%s has no permanent address, and its place is not known: it can't be told from others", i.Name)
		}
		b.warn("%s has no permanent address: it is found by its place, %s", i.Name, n.Path)
	}
	return n, nil
}

// permanent is the hardware's own address. Kernels before 5.6 tell it otherwise: it is the one in use if that is the
// hardware's (Documentation/ABI/testing/sysfs-class-net, addr_assign_type), and of a port bonding knows it.
func (b *builder) permanent(i Interface) string {
	if validMAC(i.Permanent) {
		return i.Permanent
	}
	if m, ok := b.iface(i.Master); ok && m.Kind == "bond" {
		text := b.attribute("proc/net/bonding/" + m.Name)
		_, text, _ = strings.Cut(text, "Slave Interface: "+i.Name+"\n")
		text, _, _ = strings.Cut(text, "Slave Interface: ")
		_, text, _ = strings.Cut(text, "Permanent HW addr: ")
		text, _, _ = strings.Cut(text, "\n")
		if validMAC(text) {
			return text
		}
	}
	if b.attribute("sys/class/net/"+i.Name+"/addr_assign_type") == "0" && validMAC(i.MAC) && i.Permanent == "" {
		return i.MAC
	}
	return ""
}

// devicePath is the directory of an interface's device below /sys/devices; "" if it is not known.
func devicePath(root fs.FS, name string) string {
	link, err := fs.ReadLink(root, "sys/class/net/"+name)
	if err != nil {
		return ""
	}
	place, found := strings.CutPrefix(path.Join("sys/class/net", link), "sys/devices/")
	place, inside := strings.CutSuffix(place, "/net/"+name)
	if !found || !inside {
		return ""
	}
	return place
}

// port is the number of an interface among those of its device.
func port(root fs.FS, name string) int {
	n, err := sysfs.ReadUint(root, "sys/class/net/"+name+"/dev_port", 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

func (b *builder) driver(dir string) string {
	link, err := fs.ReadLink(b.Root, dir+"/device/driver")
	if err != nil {
		return ""
	}
	return path.Base(link)
}

func (b *builder) exists(name string) bool {
	_, err := fs.Stat(b.Root, name)
	return err == nil
}

// attribute reads a small file; one that is not there is "".
func (b *builder) attribute(name string) string {
	text, _ := sysfs.ReadString(b.Root, name)
	return strings.TrimRight(text, "\n")
}

func orPath(n *NIC) string {
	if n.MAC != "" {
		return n.MAC
	}
	return "at " + n.Path
}

// among finds hardware in a kernel whose network nobody has changed yet. Several interfaces have one address where one of
// them stands for the others (a virtual function below Hyper-V's interface, virtio's failover): these are its ports.
func (n *NIC) among(all []Interface, root fs.FS) (Interface, bool) {
	free := slices.DeleteFunc(slices.Clone(all), func(i Interface) bool { return i.Master != 0 })
	// A kernel that does not tell the permanent address uses it.
	return n.find(free, root, func(i Interface) string { return cmp.Or(i.Permanent, i.MAC) })
}

// find finds hardware by its permanent address, at its place rather than elsewhere.
func (n *NIC) find(all []Interface, root fs.FS, permanent func(Interface) string) (found Interface, ok bool) {
	for _, i := range all {
		switch {
		case i.Kind != "" || i.Type != "ether":
		case n.MAC == "":
			if devicePath(root, i.Name) == n.Path && port(root, i.Name) == n.Port {
				return i, true
			}
		case permanent(i) == n.MAC:
			if devicePath(root, i.Name) == n.Path {
				return i, true
			}
			if !ok {
				found, ok = i, true
			}
		}
	}
	return found, ok
}
