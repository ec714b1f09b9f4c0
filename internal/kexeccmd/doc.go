// Package kexeccmd is the command line of kexec(8), the program of kexec-tools: its
// options for each architecture, what they mean together and in which order, and
// what of it gokexec does otherwise or not at all. It reads command lines into
// Invocations and touches nothing, so that what any script passes can be tested
// anywhere.
//
// The reference is kexec-tools 2.0.32 with what its git has since (--no-cma,
// --force-dtb).
package kexeccmd
