// Package oops finds the crash in a kernel log: what happened, where, on which stack. The log is text as dmesg, a serial
// console, netconsole, pstore or the capture of a dump has it, with time stamps, levels, callers and the prefixes of
// syslog or without. Nothing else is needed: no symbols, no dump.
//
//	o, err := oops.Read(file)
//	fmt.Println(o.Title(), o.Fingerprint())
//
// # Which crash
//
// A log may tell of several. Warnings, stalls and oopses that the kernel survived are not the crash, if another one
// led to the panic: the reason that panic() gives tells which. Of oopses that happened during each other it is the first.
// A log without a panic and without an oops is about its first warning or stall. Reading ends where a kernel boots after
// a crash: the capture kernel on a serial console.
//
// # Fingerprint
//
// [Fingerprint] is the same for the same fault on other machines. It takes frames of a log and frames of a dump alike:
// a report calls it with a stack that it has unwound itself, the one that [Kind.Where] tells. See [Significant] for what
// counts. A kind that strikes anywhere (SysRq, an NMI, hardware, a lack of memory) has one fingerprint. A function that
// is inlined in one kernel and not in another makes two fingerprints of one fault; so does a function without a frame of
// its own, whose caller kernels for arm64 and riscv64 do not print, but those for x86 do.
//
// # Bounds
//
// A log of any size is read in one pass with a buffer of 8 KiB: of a line more than that is ignored. At most 16 crashes
// of a log are kept at once, and 1024 frames of each.
package oops
