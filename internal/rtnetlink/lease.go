package rtnetlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/gokexec/gokexec/pkg/network"
)

// A question is asked again after askAgain, asks times; then a new one begins: a switch may have lost the first ones.
const (
	askAgain = 2 * time.Second
	asks     = 3
)

// Lease gets an IPv4 address by DHCP, and tries until ctx ends.
func (Kernel) Lease(ctx context.Context, name string) (network.Lease, error) {
	client, err := nclient4.New(name, nclient4.WithTimeout(askAgain), nclient4.WithRetry(asks))
	if err != nil {
		return network.Lease{}, fmt.Errorf("DHCP on %s: %w", name, err)
	}
	defer client.Close()
	for {
		answer, err := client.Request(ctx, dhcpv4.WithRequestedOptions(
			dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute))
		switch {
		case err == nil:
			return lease(answer.ACK)
		case ctx.Err() != nil:
			return network.Lease{}, fmt.Errorf("DHCP on %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain / 4): // an error that comes at once, such as that the link is down
		}
	}
}

// lease reads an answer (RFC 2132, RFC 3442).
func lease(ack *dhcpv4.DHCPv4) (network.Lease, error) {
	address, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || address.IsUnspecified() {
		return network.Lease{}, errors.New("a DHCP server answered without an address")
	}
	bits := 32
	if mask := ack.SubnetMask(); mask != nil {
		bits, _ = mask.Size()
	} else if of := net.IP(address.AsSlice()).DefaultMask(); of != nil {
		bits, _ = of.Size()
	}
	l := network.Lease{Address: netip.PrefixFrom(address, bits), Nameservers: v4(ack.DNS())}
	l.Server, _ = netip.AddrFromSlice(ack.ServerIdentifier().To4())
	if mtu := ack.GetOneOption(dhcpv4.OptionInterfaceMTU); len(mtu) == 2 {
		l.MTU = int(binary.BigEndian.Uint16(mtu))
	}
	onLink := func(a netip.Addr) bool { return l.Address.Contains(a) }
	if routes := ack.ClasslessStaticRoute(); len(routes) > 0 {
		// Then routers are to be ignored (RFC 3442).
		for _, r := range routes {
			to, ok := netip.AddrFromSlice(r.Dest.IP.To4())
			ones, _ := r.Dest.Mask.Size()
			via, okVia := netip.AddrFromSlice(r.Router.To4())
			if !ok || !okVia {
				continue
			}
			route := network.Route{To: netip.PrefixFrom(to, ones).Masked()}
			if !via.IsUnspecified() {
				route.Via, route.OnLink = via, !onLink(via)
			}
			l.Routes = append(l.Routes, route)
		}
		return l, nil
	}
	if via := v4(ack.Router()); len(via) > 0 { // the best comes first (RFC 2132, 3.5)
		l.Routes = append(l.Routes, network.Route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: via[0], OnLink: !onLink(via[0])})
	}
	return l, nil
}

func v4(ips []net.IP) []netip.Addr {
	var all []netip.Addr
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok {
			all = append(all, a)
		}
	}
	return all
}
