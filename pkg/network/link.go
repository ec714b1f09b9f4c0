package network

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// nameSize is the size of an interface's name with its NUL byte (include/uapi/linux/if.h, IFNAMSIZ).
const nameSize = 16

func (l *Link) validate() error {
	var kinds []func() error
	if l.NIC != nil {
		kinds = append(kinds, l.NIC.validate)
	}
	if l.Bond != nil {
		kinds = append(kinds, l.Bond.validate)
	}
	if l.VLAN != nil {
		kinds = append(kinds, l.VLAN.validate)
	}
	switch {
	case len(kinds) != 1:
		return fmt.Errorf("%d of nic, bond and vlan; want one", len(kinds))
	case !validName(l.Name):
		return fmt.Errorf("%q is no name of an interface", l.Name)
	case l.MTU < 0 || l.MTU > maxMTU:
		return fmt.Errorf("mtu %d; want 0 to %d bytes", l.MTU, maxMTU)
	case l.MAC != "" && !validMAC(l.MAC):
		return fmt.Errorf("%q is no MAC address", l.MAC)
	case len(l.Addresses) > maxPer || len(l.Routes) > maxPer:
		return fmt.Errorf("%d addresses and %d routes; want at most %d", len(l.Addresses), len(l.Routes), maxPer)
	}
	for i, p := range l.Addresses {
		if !p.IsValid() || p.Addr().Is4In6() || p.Addr().IsUnspecified() {
			return fmt.Errorf("addresses[%d]: %v is none", i, p)
		}
	}
	for i := range l.Routes {
		if err := l.Routes[i].validate(); err != nil {
			return fmt.Errorf("routes[%d]: %w", i, err)
		}
	}
	return kinds[0]()
}

func (r *Route) validate() error {
	switch {
	case !r.To.IsValid() || r.To.Addr().Is4In6():
		return fmt.Errorf("%v is no destination", r.To)
	case r.To != r.To.Masked():
		return fmt.Errorf("destination %v has bits behind its prefix", r.To)
	case r.Via.IsValid() && r.Via.BitLen() != r.To.Addr().BitLen():
		return fmt.Errorf("gateway %v of %v is of another family", r.Via, r.To)
	case r.From.IsValid() && r.From.BitLen() != r.To.Addr().BitLen():
		return fmt.Errorf("source %v of %v is of another family", r.From, r.To)
	case r.Via.Zone() != "" || r.From.Zone() != "":
		return errors.New("an address with a zone; the route's own interface is meant")
	case r.OnLink && !r.Via.IsValid():
		return errors.New("onlink is for a route with a gateway")
	}
	return nil
}

func (n *NIC) validate() error {
	switch {
	case n.MAC != "" && !validMAC(n.MAC):
		return fmt.Errorf("%q is no MAC address", n.MAC)
	case n.MAC == "" && n.Path == "":
		return errors.New("hardware with neither a permanent address nor a path")
	case strings.ContainsFunc(n.Path+n.Driver, unprintable):
		return fmt.Errorf("path %q, driver %q", n.Path, n.Driver)
	case n.Port < 0:
		return fmt.Errorf("port %d", n.Port)
	}
	return nil
}

func (b *Bond) validate() error {
	seen := slices.Clone(b.Of)
	slices.Sort(seen)
	switch {
	case len(b.Of) == 0:
		return errors.New("a bond of nothing")
	case len(slices.Compact(seen)) != len(b.Of):
		return errors.New("an interface is named twice")
	case !slices.Contains(modes[:], b.Mode):
		return fmt.Errorf("mode %q; want one of %s", b.Mode, strings.Join(modes[:], ", "))
	case b.MIIMon < 1 || b.MIIMon > 60000:
		return fmt.Errorf("miimon %d; want 1 to 60000 ms", b.MIIMon)
	case !slices.Contains([]string{"", "slow", "fast"}, b.LACPRate):
		return fmt.Errorf("lacp_rate %q; want slow or fast", b.LACPRate)
	case !slices.Contains([]string{"", "none", "active", "follow"}, b.FailOverMAC):
		return fmt.Errorf("fail_over_mac %q; want none, active or follow", b.FailOverMAC)
	}
	return nil
}

func (v *VLAN) validate() error {
	if v.ID < 1 || v.ID > 4094 {
		return fmt.Errorf("VLAN %d; want 1 to 4094", v.ID)
	}
	if v.Protocol != "802.1Q" && v.Protocol != "802.1ad" {
		return fmt.Errorf("protocol %q; want 802.1Q or 802.1ad", v.Protocol)
	}
	return nil
}

func validName(s string) bool {
	return s != "" && len(s) < nameSize && s != "." && s != ".." && !strings.ContainsAny(s, "/:") && !strings.ContainsFunc(s, unprintable)
}

// validMAC takes Ethernet addresses of one station, in their one spelling.
func validMAC(s string) bool {
	mac, err := net.ParseMAC(s)
	return err == nil && len(mac) == 6 && mac.String() == s && mac[0]&1 == 0 && s != "00:00:00:00:00:00"
}
