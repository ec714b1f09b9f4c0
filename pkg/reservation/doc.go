// Package reservation tells how large crashkernel= must be: what a capture of a machine needs, part by part,
// the value that follows, and beside it what distributions reserve by default. Recommend and Parts are
// pure functions of a Machine. Sizes are in bytes.
package reservation
