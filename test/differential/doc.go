// Package differential holds gokexec's plans against those of kexec-tools: both
// are given the same invented machines, as trees of /proc and /sys, and must agree
// on what a dump would hold. Nothing is loaded: kexec runs without CAP_SYS_BOOT.
package differential
