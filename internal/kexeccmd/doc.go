// Package kexeccmd is the command line of kexec(8), the program of kexec-tools: its
// options for each architecture, what they mean together and in which order, and
// what gokexec does differently or does not support. It turns command lines into
// Invocations and has no side effects, so that the command lines of any script can be
// tested anywhere.
//
// The reference is kexec-tools 2.0.32 with what its git has since (--no-cma,
// --force-dtb).
package kexeccmd
