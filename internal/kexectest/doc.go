// Package kexectest is a fake kernel for tests: a tree of /proc and /sys in a
// directory, and the kexec system calls with the real kernel's order of checks and
// effects (kernel/kexec.c, kernel/kexec_file.c, kernel/kexec_core.c). In particular
// a crash load frees the old image before it builds the new one. The VM tests run
// the same table on real kernels, so that the fake and the kernel agree.
package kexectest
