// Package statedir is the directory through which the processes of gokexec coordinate,
// /run/gokexec: which process loads, which events must still be handled, and whether a
// crash kernel is wanted. It is empty after a boot, when no crash kernel is loaded either.
//
//	pending.lock  flock(2) of the process that will handle the marked events
//	pending       a symbolic link that leads somewhere while that process handles further events too (Cover)
//	reload.lock   flock(2) of the process that checks, loads or unloads
//	mark          an event that no process has handled yet; mark.looking: one that is being handled;
//	              mark.waiting: of the process that holds the pending lock
//	loading       a load has begun; if the lock is free, its process was killed
//	wanted        a crash kernel is wanted (Wanted)
//	problem       the message of the last check that could not repair a problem
//	crash.json    the last crash load (accuracy.State)
//
// The kernel releases the locks of a killed process. A damaged file counts as present.
package statedir
