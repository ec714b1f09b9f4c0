// Package unwind follows the calls on a stack of a crashed kernel, from the registers that a CPU or a sleeping task
// left, through interrupts, exceptions and the stacks that these have, to user mode or to where the stack began.
//
// On x86_64 the kernel's ORC tables say for each instruction where the caller's frame is; on arm64 and riscv64 every
// function keeps a frame pointer. Only frames that the kernel itself vouches for are returned: no guesses of what else
// on a stack looks like a return address.
//
// The package knows no symbols. It is told where the kernel's text and its tables are, and returns addresses.
package unwind
