// Package statedir is the directory by which the processes of gokexec know of each
// other, /run/gokexec: who loads just now, which events are still to be handled, and
// whether a crash kernel is wanted. It is empty after a boot, as is the kernel.
//
//	pending.lock  flock(2) of the process that will handle the marked events
//	reload.lock   flock(2) of the process that looks, loads or unloads
//	mark          an event that nobody has handled yet; mark.looking: that is being handled
//	loading       a load has begun; under the lock it means that its process was killed
//	wanted        a crash kernel is wanted (Wanted)
//	problem       what the last look could not mend, in words
//	crash.json    the last crash load (loader.State)
//
// A killed process leaves no lock. Whatever is torn counts as if it was there.
package statedir
