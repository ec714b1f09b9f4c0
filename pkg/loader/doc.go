// Package loader loads kernels for kexec and for crash dumps: it carries out what
// package plan has planned, with one system call, and sees to what becomes of it.
//
// The order matters, because the kernel frees the crash image that is loaded
// before it builds the new one (kernel/kexec_file.c): what can be found out
// beforehand must be.
package loader
