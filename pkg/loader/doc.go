// Package loader loads kernels for kexec and for crash dumps.
//
// A Spec says what is wanted, a Host what the machine is. New makes a Plan of the
// two without side effects, on any machine, for any architecture; Plan.Check and
// CheckHost hold it against the kernel's rules; a Loader carries it out with one
// system call.
//
// The order matters, because the kernel frees the crash image that is loaded
// before it builds the new one (kernel/kexec_file.c): what can be found out
// beforehand must be.
package loader
