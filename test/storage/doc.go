// Package storage tests dump targets on logical volumes, arrays, encrypted volumes, multipath and filesystems of
// several devices: Debian's tools make them in a guest, which is reset or crashes while it writes; another kernel
// assembles them without these tools, and saves a dump; and the tools judge what is there afterwards.
package storage
