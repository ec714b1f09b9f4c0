// Package kexec has what the system calls kexec_load and kexec_file_load take and say: their
// flags, the segments of the one, and the error of either.
package kexec
