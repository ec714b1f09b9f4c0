// Package plan plans the load of a kernel: all that one system call needs is made, and
// checked, before it is called.
//
// A Spec says what is wanted, a machine.Host what the machine is. New makes a Plan of the
// two without side effects, on any machine, for any architecture; Plan.Check compares it
// with the kernel's rules. By kexec_file_load (File) the kernel reads and places the
// files; by kexec_load (Segments) the Plan has all segments, placed and filled.
//
// Memory and MemoryMap of u-root's pkg/boot/kexec are not used: they read the machine that
// they run on, know no reserved crash memory, and place segments in any RAM.
//
// The order matters, because the kernel frees the crash image that is loaded
// before it builds the new one (kernel/kexec_file.c): what can be found out
// beforehand must be.
package plan
