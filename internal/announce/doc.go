// Package announce is how a process tells the others of a hotplug event, in the directory that
// pkg/statedir describes: it leaves a mark, and asks whether another process holds the pending lock
// and so will handle the event.
//
// The package is apart from pkg/statedir for internal/early, which announces an event before most
// packages are initialised: it imports nothing but os and what that needs.
package announce
