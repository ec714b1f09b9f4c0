// Package capture saves the memory and the kernel log of a crashed kernel.
//
// It runs in the capture kernel, which sees the old memory as the ELF core
// file /proc/vmcore (kernel: fs/proc/vmcore.c), in one of two ways:
//
//   - [Run] saves it to the targets of a [Config] and returns a [Result].
//   - [Init] does that as PID 1: it mounts what is needed, loads modules, calls
//     Run and ends in a reboot, whatever happens on the way.
//
// The kernel log is saved and on disk before the memory is touched, so that a
// dump that fails for lack of room or time still leaves the reason of the crash.
// Between the two a child of this process makes the report of the crash (Options.Reporter, package report),
// with little memory and time; what becomes of it changes nothing else.
// Targets are tried in order until one holds the whole dump.
//
// # What is saved
//
// In a directory, a new subdirectory named by the time of the crash in UTC
// (20061102T150405Z, with -1, -2 and so on if it is taken), mode 0700, with the
// files dmesg.txt, report.txt, report.json, vmcore and result.json, mode 0600. The dump is
// called vmcore.incomplete until all of it is on disk.
//
// On a raw block device, a tar stream with the same entries: "tar xf
// /dev/X" brings them back, and [FindInTar] and [OpenRaw] read the dump in place.
//
// # The form of a dump
//
// The dump is compressed by page, and lacks the pages that a dump level leaves out (Config.DumpLevel,
// Format, Compress). These come from the configuration; for /proc/vmcore the capture kernel's command line
// (gokexec.dump_level=, gokexec.format=, gokexec.compress=) counts before it, and what is wrong there is
// ignored. What saves the memory at all costs goes first: where the pages of a kernel can't be told apart
// all are saved, where the format fails the memory is saved as it is, and where a disk has no
// room for one level the next of the list is tried. A dump for which no room is left is one that can be read,
// and says that it is incomplete.
//
// # What is left alone
//
// A device that is a part of something else, such as a RAID, is neither mounted
// nor written to (package blkid tells). A raw device that is not blank is
// overwritten only if it is told so, or holds swap or an older dump. Of a filesystem
// a part stays free (Config.KeepFree), so that the machine can come up again: a dump that
// has no room beside it is cut, and the next target is tried.
//
// A page of the old memory that can't be read is saved as zeros, counted, and
// the dump's outcome is "incomplete". A target that fails during the dump keeps the
// log and vmcore.incomplete.
package capture
