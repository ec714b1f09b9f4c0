package network

import (
	"net/netip"
	"strings"
)

// resolvFiles are where resolv.conf(5) may be. If the first has servers on this machine only (a program that asks the
// others), the next ones have those: systemd-resolved(8), NetworkManager(8).
var resolvFiles = [...]string{"etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf"}

// nameservers records the name servers, for hosts that have a name.
func (b *builder) nameservers() {
	named := false
	for _, h := range b.out.Record.Hosts {
		if _, err := netip.ParseAddr(h.Name); err != nil {
			named = true
		}
	}
	if !named {
		return
	}
	r := b.out.Record
	for _, name := range resolvFiles {
		servers, search := parseResolv(b.attribute(name))
		for _, a := range servers {
			// Only what is reached by the links that are there anyway: a name server is a last resort.
			if hop, err := b.Kernel.Route(a); err == nil && !hop.Local && !a.IsLoopback() && b.has(hop.Index) && len(r.Nameservers) < maxServers {
				r.Nameservers = append(r.Nameservers, a)
				b.routeServer(a, hop)
			}
		}
		if len(r.Nameservers) > 0 {
			r.Search = search
			return
		}
	}
}

func (b *builder) has(index int) bool {
	_, ok := b.at[index]
	return ok
}

// routeServer records the way to a name server over a link with static addresses.
func (b *builder) routeServer(a netip.Addr, hop Hop) {
	l := &b.out.Record.Links[b.at[hop.Index]]
	for _, p := range l.Addresses {
		if p.Addr() == hop.From {
			b.route(l, a, hop, p)
		}
	}
}

// maxServers is what resolvers take (resolv.conf(5), MAXNS).
const maxServers = 3

// maxSearch bounds the domains (resolv.conf(5)).
const maxSearch = 6

// parseResolv reads resolv.conf(5): servers, and the last search or domain.
func parseResolv(text string) (servers []netip.Addr, search []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(fields[1]); err == nil && a.Zone() == "" {
				servers = append(servers, a.Unmap())
			}
		case "search", "domain":
			search = nil
			for _, s := range fields[1:] {
				if len(s) <= maxName && !strings.ContainsFunc(s, unprintable) && s != "." && len(search) < maxSearch {
					search = append(search, s)
				}
			}
		}
	}
	return servers, search
}
