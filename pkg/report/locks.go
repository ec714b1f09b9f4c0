package report

import "github.com/gokexec/gokexec/pkg/object"

// Kinds of task_struct.blocker, in its lowest bits (include/linux/hung_task.h, Linux 6.16).
const (
	blockerMask      = 3
	blockerMutex     = 0
	blockerSemaphore = 1
)

// Bits of an owner that are no part of the pointer to the task (kernel/locking/mutex.h, rwsem.c).
const (
	mutexFlags   = 7
	rwsemFlags   = 7
	rwsemReaders = 1 // owned by readers: the task is one of them, and perhaps no more
)

// lock returns what a task waits for, nil where the kernel doesn't tell.
func (m *maker) lock(task object.Object) *Lock {
	if v, err := task.Uint("blocker"); err == nil && v != 0 {
		addr := v &^ blockerMask
		switch v & blockerMask {
		case blockerMutex:
			return m.held("mutex", "mutex", "owner.counter", addr, mutexFlags, 0)
		case blockerSemaphore:
			return m.held("semaphore", "semaphore", "last_holder", addr, 0, 0)
		}
		return m.held("rwsem", "rw_semaphore", "owner.counter", addr, rwsemFlags, rwsemReaders)
	}
	// Linux 7.0: struct mutex *; kernels that debug mutexes had another type there.
	mutex, err := task.Follow("blocked_on")
	if err != nil || mutex.Address == 0 || m.kernel.Types.Name(mutex.Field.Type) != "mutex" {
		return nil
	}
	return m.held("mutex", "mutex", "owner.counter", mutex.Address, mutexFlags, 0)
}

// held describes a lock: owner is the member that has its holder, with flags in it. One of the bits in none says that
// the holder isn't told.
func (m *maker) held(kind, typ, owner string, addr, flags, none uint64) *Lock {
	l := &Lock{Kind: kind, Address: addr, Symbol: m.stacks.symbolOf(addr)}
	o, err := m.kernel.At(typ, addr)
	if err != nil {
		return l
	}
	v, err := o.Uint(owner)
	if err != nil || v&^flags == 0 || v&none != 0 {
		return l
	}
	holder, err := m.kernel.At("task_struct", v&^flags)
	if err != nil {
		return l
	}
	if t, err := m.task(holder); err == nil && t.PID > 0 {
		l.HolderPID, l.HolderName = t.PID, t.Name
	}
	return l
}
