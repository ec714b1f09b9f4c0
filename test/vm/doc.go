// Package vm holds the tests that decide: real kernels in QEMU load a crash
// kernel with gokexec, panic, and their memory is read back on the host and
// compared with what it was. See internal/vmlab for the laboratory.
package vm
