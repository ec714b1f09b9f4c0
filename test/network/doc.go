// Package network tests captures over the network: a machine is armed for a server on this host, crashes, and its dump
// is on the server's side; or the server goes away, and the dump is on the machine's own disk.
//
// QEMU's user networking leads from the guest to servers on this host's loopback; other networks are made in a network
// namespace of the test's own.
package network
