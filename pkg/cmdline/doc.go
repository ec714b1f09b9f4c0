// Package cmdline reads and makes kernel command lines.
//
// Parse splits a line as the kernel does. Reuse makes a line for the next kernel of the
// running one's, and Complete adds what a capture kernel needs. What they leave out and
// add stands in tables (DroppedParams, CrashParams), each word with its reason and source.
package cmdline
