package capture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/gokexec/gokexec/pkg/network"
)

// fakeNetwork is a kernel with one card, whose carrier may be missing.
type fakeNetwork struct {
	*fakeMachine
	noCarrier bool
	address   []network.Address
}

func (n *fakeNetwork) Network() (network.Maker, error) { return n, nil }

const fakeMAC = "52:54:00:12:34:56"

func (n *fakeNetwork) Interfaces() ([]network.Interface, error) {
	return []network.Interface{{Index: 1, Name: "lo", Type: "loopback"}, {Index: 2, Name: "eth7", Type: "ether", MAC: fakeMAC, Permanent: fakeMAC, MTU: 1500, Carrier: !n.noCarrier}}, nil
}

func (n *fakeNetwork) Addresses(int) ([]network.Address, error) { return n.address, nil }

func (n *fakeNetwork) Route(netip.Addr) (network.Hop, error) {
	return network.Hop{}, syscall.ENETUNREACH
}
func (n *fakeNetwork) Behind(int, netip.Addr) (int, error) { return 0, nil }
func (n *fakeNetwork) BridgeVLANs() (map[int][]network.PortVLAN, error) {
	return nil, nil
}
func (n *fakeNetwork) AddBond(string, network.Bond) error      { return errors.ErrUnsupported }
func (n *fakeNetwork) AddVLAN(string, int, network.VLAN) error { return errors.ErrUnsupported }
func (n *fakeNetwork) SetMaster(int, int) error                { return errors.ErrUnsupported }
func (n *fakeNetwork) SetMAC(int, string) error                { return errors.ErrUnsupported }
func (n *fakeNetwork) SetMTU(int, int) error                   { return errors.ErrUnsupported }
func (n *fakeNetwork) SetUp(index int) error                   { n.event("up %d", index); return nil }

func (n *fakeNetwork) AddAddress(index int, a netip.Prefix) error {
	n.event("address %d %v", index, a)
	return nil
}

func (n *fakeNetwork) AddRoute(index int, r network.Route) error {
	n.event("route %d %v via %v", index, r.To, r.Via)
	return nil
}

func (n *fakeNetwork) Lease(ctx context.Context, name string) (network.Lease, error) {
	n.call("Lease")
	<-ctx.Done()
	return network.Lease{}, fmt.Errorf("DHCP on %s: %w", name, ctx.Err())
}

func (n *fakeNetwork) WriteFile(name, text string) error {
	n.event("write %s %s", name, text)
	return nil
}
