// Package hotplug keeps a loaded crash kernel's elfcorehdr accurate when memory or
// CPUs come and go: one reload at most for a burst of events, and none where the
// kernel has updated the header itself. It keeps the machine armed, too: while a
// crash kernel is wanted and none is loaded, each look says so and tries to load it.
//
// Linux announces each memory block and each CPU by a uevent, thousands for a
// large DIMM. Each event may be a process of its own (Handler.Event), or all of
// them one daemon's (Handler.Daemon); both may run side by side.
//
// # Protocol
//
// In a directory that is empty after a boot (statedir.Dir), there are these files:
//
//	mark          an event that nobody has looked after yet
//	pending.lock  flock(2) of the one that will
//	reload.lock   flock(2) of the one that looks, and of whoever loads or unloads
//
// An event leaves the mark and tries the pending lock. If another process holds
// that, it has not looked at the machine yet, so the event is covered. Otherwise
// the process waits for the burst to end and for the reload lock, releases the
// pending lock, renames the mark and only then looks. So one looks, one waits at
// most, and a look always follows the last event.
//
// A process that is killed frees its locks, and leaves the mark, which only a
// look that was completed clears: the next event, a restarted daemon or a timer
// (each looks in any case) finds what the dead one left. A fourth file says that
// a load has begun, so that a crash kernel lost by killing one in the midst of
// it is loaded again. Only files that were renamed are removed, so no mark can be
// taken away that was left after the look had begun.
//
// Programs that load a crash kernel without these locks are reckoned with: while one
// loads nothing is loaded, and the kernel drops the updates that fall into it. So a
// look that finds nothing loaded is not the last one: the process holds the pending
// lock again, waits for a load to end (Handler.Absent), and looks anew.
//
// # Armed is wanted
//
// A fifth file says that a crash kernel is wanted (statedir.Wanted). It is there from
// the first load or reload that succeeds until an explicit unload (gokexec unload, or
// gokexec as kexec -p -u). A look that finds nothing loaded and the file there has a
// problem, however it came to that: a reload that failed, one that reported success
// and has loaded nothing, one that was killed, an explicit load that cost the image,
// another program that unloaded it. It keeps its mark, notes the problem, and makes
// one attempt to load, within the bounds of retry.go. What another program unloads is
// loaded again MaxUnloaded times until the next explicit load; after that it is only
// said, since nobody can tell a mistake from an administrator with another tool.
//
// # Without the directory
//
// Where the directory can't be written, events no longer save each other work, and
// the reload lock is on another file that this user alone can open; see
// statedir.Dir.LockReload. If there is none, looks and loads go on without the lock.
package hotplug
