// Package network describes how this machine reaches a host (the hardware, what is built on it, addresses and routes),
// as data, and brings the same up in a capture kernel by rtnetlink(7): without ip, NetworkManager, systemd-networkd or
// udev.
//
// The running machine is connected already. A [Resolver] records as a [Record] what leads to the hosts of a dump target,
// when the capture initramfs is built; in the capture kernel a [Bringer] finds the hardware by its permanent address and
// makes the rest. A [Dialer] connects to the hosts by the addresses that were recorded, so that names need no server.
package network
