// Package printk reads the Linux kernel's log out of a memory dump.
//
// There have been three formats of the kernel log; the symbols in VMCOREINFO show which one it is:
// the lockless ring of 5.10 and later ("prb"), the ring of variable-length records of 3.5 to 5.9
// ("log_first_idx"), and before that a plain ring of bytes ("log_buf").
//
// A crash may happen in the middle of printk, and memory may be corrupt or missing from the dump. So
// nothing read is trusted: each length is bounded by what contains it, what can't be read is
// counted in Stats, and reading goes on. Records are streamed; whatever the size of the log,
// less than 200 KiB of memory are used.
package printk
