// Package hotplug keeps the elfcorehdr of a loaded crash kernel accurate when memory or
// CPUs are hot-added or hot-removed: at most one reload for a burst of events, and none
// if the kernel has updated the header itself. It also keeps the machine armed: while a
// crash kernel is wanted and none is loaded, each check reports that and tries to load
// one.
//
// Linux announces each memory block and each CPU by a uevent, thousands for a
// large DIMM. Each event may be handled by a process of its own (Handler.Event), or all
// of them by a daemon (Handler.Daemon); both may run at the same time.
//
// # Protocol
//
// In a directory that is empty after a boot (statedir.Dir), there are these files:
//
//	mark          an event that no process has handled yet
//	pending.lock  flock(2) of the process that will handle it
//	pending       a symbolic link that leads somewhere while that process also handles events without a process
//	reload.lock   flock(2) of the process that checks, loads or unloads
//
// The process of an event writes the mark and tries to take the pending lock. If another
// process holds it, that process has not checked the machine yet, so it will handle this
// event too: the event is coalesced. Otherwise the process waits until the burst is over
// and for the reload lock, releases the pending lock, renames the mark and only then
// checks. So at most one process checks, at most one waits, and a check always follows
// the last event.
//
// While the pending link leads somewhere, an event needs no process of its own: it has the
// one that holds the lock. So the udev rule tests the link first, and of a burst of thousands
// of events a few have a process. The link is removed before the lock is released, and leads
// through a descriptor of the process, so that it ends with it. Before it makes the link, the
// process writes a mark of its own for those events: its first one may be taken by a check that
// has begun before them.
//
// The kernel releases the locks of a process that is killed. Its mark stays, since only
// a completed check clears it: the next event, a restarted daemon or a timer (each checks
// in any case) handles what the killed process left. A fourth file says that a load has
// begun; if it was killed and the crash kernel is lost, the crash kernel is loaded again.
// Only renamed marks are removed, so no mark is removed that was written after the check
// had begun.
//
// Other tools load a crash kernel without these locks. During such a load no crash kernel
// is loaded, and the kernel drops the updates that arrive. So a check that finds nothing
// loaded is not the last one: the process takes the pending lock again, waits for the
// load to end (Handler.WaitForLoad), and checks again.
//
// # A crash kernel is wanted
//
// A fifth file says that a crash kernel is wanted (statedir.Wanted). It exists from the
// first successful load or reload until an explicit unload (gokexec unload, or gokexec as
// kexec -p -u). If a check finds nothing loaded while the file exists, that is a problem,
// whatever the cause: a reload failed, reported success but loaded nothing, or was killed;
// an explicit load cost the image; another program unloaded it. The mark stays, the
// problem is recorded, and one attempt to load is made, within the bounds of retry.go.
// If another program unloads the crash kernel, it is loaded again MaxUnloaded times until
// the next explicit load. After that the problem is only reported: gokexec cannot tell a
// mistake from an administrator who uses another tool.
//
// # Without the directory
//
// If the directory can't be written, events are not coalesced, and the reload lock is on
// another file that only this user can open; see statedir.Dir.LockReload. If there is
// none, checks and loads go on without the lock.
package hotplug
