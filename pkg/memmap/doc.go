// Package memmap describes the physical memory of a Linux machine: ranges
// and sets of ranges, the resource tree of /proc/iomem, and the firmware's own
// memory map in /sys/firmware/memmap.
//
// All addresses and sizes are in bytes and 64 bits wide on every GOARCH, so
// that a machine can be studied on another one. Whatever reads files takes an
// fs.FS whose root is the machine's root directory: os.DirFS("/") for the
// running machine, or a directory into which its /proc and /sys were copied.
package memmap
