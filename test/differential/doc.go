// Package differential compares gokexec's plans with those of kexec-tools: both get
// the same invented machines, as trees of /proc and /sys, and must agree on what a
// dump would contain. Nothing is loaded: kexec runs without CAP_SYS_BOOT.
package differential
