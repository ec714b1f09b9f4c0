// Package vm contains the decisive tests: real kernels in QEMU load a crash kernel
// with gokexec and panic, and the host compares the dump with the memory before the
// panic. See internal/vmlab for the laboratory.
package vm
