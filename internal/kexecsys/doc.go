// Package kexecsys makes the system calls: kexec_file_load, kexec_load, their unloads,
// and reboot into a loaded kernel. It contains no policy and parses nothing; no other
// package of gokexec makes these calls.
//
// Every error is a *kexec.Error, so errors.Is(err, unix.EBUSY) works for both calls.
package kexecsys
