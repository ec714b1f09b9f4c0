package network

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
)

// Digest tells records apart that bring up another network: 32 hexadecimal digits. The addresses of hosts with a name,
// which name servers tell in any order and change, do not count.
func (r *Record) Digest() string {
	c := Record{Version: r.Version, Links: slices.Clone(r.Links)}
	var named []netip.Addr
	for _, h := range r.Hosts {
		c.Hosts = append(c.Hosts, Host{Name: h.Name})
		if _, err := netip.ParseAddr(h.Name); err != nil {
			named = append(named, h.Addresses...)
		}
	}
	for i := range c.Links {
		c.Links[i].Routes = slices.DeleteFunc(slices.Clone(c.Links[i].Routes), func(o Route) bool {
			return o.To.IsSingleIP() && slices.Contains(append(named, r.Nameservers...), o.To.Addr())
		})
	}
	b, err := json.Marshal(&c)
	if err != nil {
		panic(err) // its types can all be marshalled
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
