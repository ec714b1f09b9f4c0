// Package dumptest makes small memory dumps for tests: ELF cores of either class and byte order
// (Core), a piece of kernel memory with its VMCOREINFO (Image), and in it the kernel's log in each of
// its three formats, written by models of the kernel's own writers (Ring, RecordLog, ByteRing).
package dumptest
