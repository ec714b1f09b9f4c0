package report

import (
	"strings"

	"github.com/gokexec/gokexec/pkg/object"
)

// Kinds of task_struct.blocker, in its lowest bits (include/linux/hung_task.h, Linux 6.16).
const (
	blockerMask      = 3
	blockerMutex     = 0
	blockerSemaphore = 1
)

// lockType is a kind of lock that tasks sleep for: a row of the table.
type lockType struct {
	kind, typ string
	owner     string // the member with the task that has it
	flags     uint64 // bits of owner that are no part of the pointer
	shared    uint64 // the bit of owner that says that several readers have it: the task is one of them, or was
	// waiter is what a task that waits has on its stack while it is in a function whose name begins with one of in; ""
	// where that doesn't lead to an owner.
	waiter string
	in     string
}

// The kinds (kernel/locking/mutex.h, rwsem.c, semaphore.c).
const (
	lockMutex = iota
	lockRWSem
	lockSemaphore
)

var lockTypes = [...]lockType{
	lockMutex:     {"mutex", "mutex", "owner.counter", 7, 0, "mutex_waiter", "__mutex_lock mutex_lock ww_mutex_lock"},
	lockRWSem:     {"rwsem", "rw_semaphore", "owner.counter", 7, 1, "rwsem_waiter", "rwsem_down_read_slowpath rwsem_down_write_slowpath"},
	lockSemaphore: {"semaphore", "semaphore", "last_holder", 0, 0, "", ""},
}

// lock returns what a task waits for, nil where that can't be told.
func (m *maker) lock(task object.Object, stack *Stack) *Lock {
	if v, err := task.Uint("blocker"); err == nil && v != 0 {
		addr := v &^ blockerMask
		switch v & blockerMask {
		case blockerMutex:
			return m.describeLock(&lockTypes[lockMutex], addr)
		case blockerSemaphore:
			return m.describeLock(&lockTypes[lockSemaphore], addr)
		}
		return m.describeLock(&lockTypes[lockRWSem], addr)
	}
	// Linux 7.0: struct mutex *, or a small negative number; kernels that debug mutexes had another type there.
	if mutex, err := task.Follow("blocked_on"); err == nil && int64(mutex.Address) < -4096 && m.kernel.Types.Name(mutex.Field.Type) == "mutex" {
		return m.describeLock(&lockTypes[lockMutex], mutex.Address)
	}
	for _, f := range stack.Frames {
		for i := range lockTypes {
			for _, name := range strings.Fields(lockTypes[i].in) {
				if strings.HasPrefix(f.Symbol, name) {
					return m.waitedFor(&lockTypes[i], task)
				}
			}
		}
	}
	return nil
}

// describeLock describes a lock.
func (m *maker) describeLock(t *lockType, addr uint64) *Lock {
	l := &Lock{Kind: t.kind, Address: Address(addr), Symbol: m.stacks.symbolOf(addr)}
	o, err := m.kernel.At(t.typ, addr)
	if err != nil {
		return l
	}
	v, err := o.Uint(t.owner)
	if err != nil || v&^t.flags == 0 || v&t.shared != 0 {
		return l
	}
	if holder, gone := m.taskAt(v &^ t.flags); holder != nil {
		l.HolderPID, l.HolderName = holder.PID, holder.Name
	} else {
		l.HolderGone = gone
	}
	return l
}

// taskAt reads a task that something points to. gone: there is none any more.
func (m *maker) taskAt(addr uint64) (t *Task, gone bool) {
	o, err := m.kernel.At("task_struct", addr)
	if err != nil {
		return nil, false
	}
	if t, err = m.task(o); err != nil {
		return nil, false
	}
	// A task that is there is in the list of the threads of its process.
	node, err := o.Member("thread_node")
	if err != nil {
		return nil, false
	}
	if t.PID <= 0 || t.TGID <= 0 || t.Name == "" || !m.inList(node.Address) {
		return nil, true
	}
	return t, false
}

// inList reports whether a list_head is in a list: what it leads to leads back.
func (m *maker) inList(node uint64) bool {
	next, err := m.mem.Ulong(node, "list")
	if err != nil {
		return false
	}
	back, err := m.mem.Ulong(next+8, "list")
	return err == nil && back == node
}

// Bounds of a search for what a task waits for: bytes of its stack, tasks that wait for the same.
const (
	maxWaiterDepth = 2048
	maxWaiters     = 256
)

// waitedFor finds the lock by what a task that waits for one has on its stack: an entry of the lock's list that points
// to the task. Kernels before 6.16 tell it nowhere else. The head of the list is the one that is no such entry, and
// around which is a lock that knows that others wait.
func (m *maker) waitedFor(t *lockType, task object.Object) *Lock {
	list, err := m.field(t.waiter, "list")
	owner, err2 := m.field(t.waiter, "task")
	head, err3 := m.field(t.typ, "wait_list")
	from, err4 := m.stacks.switched(task)
	if err != nil || err2 != nil || err3 != nil || err4 != nil {
		return nil
	}
	for at := from.SP; at < from.SP+maxWaiterDepth; at += 8 {
		v, err := m.mem.Ulong(at, "stack")
		if err != nil {
			return nil
		}
		entry := at - owner.Offset + list.Offset
		if v != task.Address || !m.inList(entry) {
			continue
		}
		for node, n := entry, 0; n < maxWaiters; n++ {
			if node, err = m.mem.Ulong(node, "wait_list"); err != nil || node == entry {
				break
			}
			if other, err := m.mem.Ulong(node-list.Offset+owner.Offset, "wait_list"); err == nil {
				if waiter, _ := m.taskAt(other); waiter != nil {
					continue
				}
			}
			if lock := node - head.Offset; m.hasWaiters(t, lock) {
				return m.describeLock(t, lock)
			}
		}
	}
	return nil
}

// hasWaiters reports whether what may be a lock says that tasks wait for it (MUTEX_FLAG_WAITERS, RWSEM_FLAG_WAITERS).
func (m *maker) hasWaiters(t *lockType, addr uint64) bool {
	o, err := m.kernel.At(t.typ, addr)
	if err != nil {
		return false
	}
	member, flag := t.owner, uint64(1)
	if t.shared != 0 {
		member, flag = "count.counter", 2
	}
	v, err := o.Uint(member)
	return err == nil && v&flag != 0
}
