// Package rtnetlink is the network of the running kernel for pkg/network: vishvananda/netlink for rtnetlink(7), and
// insomniacslk/dhcp for leases. Only a gokexec that captures over the network has it, or looks how a host is reached.
package rtnetlink
