// Package early carries out what needs next to nothing of gokexec before Go initialises the packages
// that do the rest: gokexec version, and gokexec hotplug for an event that another process will handle,
// of which a burst has thousands. Initialising all packages of the binary takes as long as an empty Go
// program from start to exit.
//
// It works because Go initialises, of the packages whose imports are initialised, the first one by import
// path (The Go Programming Language Specification, "Program initialization"). So a package that imports
// os and little else comes before those that need fmt, reflect or unicode, as nearly all do.
//
// Whatever is not as expected is left to main, which says and does the same: nothing is reported here.
// What was done by then is only what main does again, too: an event has a mark.
package early
