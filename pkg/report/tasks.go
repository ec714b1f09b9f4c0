package report

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/gokexec/gokexec/pkg/object"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Bounds of what a report has of the tasks.
const (
	maxBlocked = 64
	maxTasks   = 1 << 22
)

// Bits of a task's state (include/linux/sched.h).
const (
	stateUninterruptible = 0x2
	stateReported        = 0x7f
	stateNoLoad          = 0x400
	stateRTLock          = 0x1000
	stateFrozen          = 0x8000
)

// stateLetters are those of the bits, from none on (fs/proc/array.c, task_state_array).
const stateLetters = "RSDTtXZP"

// stateLetter is what ps prints (include/linux/sched.h, __task_state_index).
func stateLetter(state, exit uint64) string {
	switch {
	case state&(stateUninterruptible|stateNoLoad) == stateUninterruptible|stateNoLoad:
		return "I"
	case state&(stateRTLock|stateFrozen) != 0:
		return "D"
	}
	return stateLetters[bits.Len64((state|exit)&stateReported):][:1]
}

// sleeper is a blocked task.
type sleeper struct {
	task object.Object
	ran  uint64 // when it ran last, by its CPU's clock
}

// task reads a task without its stack. Its own clock tells nothing of one that runs.
func (m *maker) task(o object.Object) (*Task, error) {
	pid, err := o.Int("pid")
	if err != nil {
		return nil, err
	}
	tgid, err := o.Int("tgid")
	if err != nil {
		return nil, err
	}
	name, err := o.String("comm")
	if err != nil {
		return nil, err
	}
	state, err := m.state(o)
	if err != nil {
		return nil, err
	}
	return &Task{PID: int(pid), TGID: int(tgid), Name: printable(name), State: state, Address: Address(o.Address)}, nil
}

// state is the letter of a task's state.
func (m *maker) state(o object.Object) (string, error) {
	state, err := o.Uint("__state")
	if err != nil {
		if state, err = o.Uint("state"); err != nil { // before Linux 5.14
			return "", err
		}
	}
	exit, err := o.Uint("exit_state")
	return stateLetter(state, exit), err
}

// lastRan is when a task ran last, by the clock of a run queue.
func lastRan(o object.Object) uint64 {
	start, _ := o.Uint("se.exec_start")
	arrival, _ := o.Uint("sched_info.last_arrival")
	return max(start, arrival)
}

// tasks goes through all tasks and fills in the blocked ones.
func (m *maker) tasks() error {
	init, err := m.object("init_task", "task_struct")
	if err != nil {
		return err
	}
	tasks, err := init.Member("tasks")
	if err != nil {
		return err
	}
	var threadErr error
	err = m.kernel.List(tasks.Address, "task_struct", "tasks", func(leader object.Object) error {
		m.process(leader)
		err := m.threads(leader)
		if threadErr == nil && err != nil {
			threadErr = fmt.Errorf("threads of the task at %#x: %w", leader.Address, err)
		}
		if m.report.TaskCount > maxTasks {
			return fmt.Errorf("more than %d tasks", maxTasks)
		}
		return m.ctx.Err()
	})
	m.sortSleepers()
	for _, s := range m.sleepers {
		if m.ctx.Err() != nil {
			break
		}
		if t := m.blocked(s); t != nil {
			m.report.Blocked = append(m.report.Blocked, *t)
		}
	}
	if err == nil {
		err = threadErr
	}
	if err != nil {
		return fmt.Errorf("after %d tasks: %w", m.report.TaskCount, err)
	}
	return nil
}

// threads goes through the threads of a process.
func (m *maker) threads(leader object.Object) error {
	signal, err := leader.Follow("signal")
	if err != nil {
		return err
	}
	head, err := signal.Member("thread_head")
	if err != nil {
		return err
	}
	if signal.Address == 0 { // of a task that is gone but for its entry
		return m.thread(leader)
	}
	return m.kernel.List(head.Address, "task_struct", "thread_node", func(t object.Object) error {
		if err := m.thread(t); err != nil {
			return err
		}
		if m.report.TaskCount > maxTasks {
			return fmt.Errorf("more than %d tasks", maxTasks)
		}
		return m.ctx.Err()
	})
}

// thread looks at a thread.
func (m *maker) thread(t object.Object) error {
	m.report.TaskCount++
	if m.eachThread != nil {
		return m.eachThread(t)
	}
	if pid, err := t.Int("pid"); err == nil && m.findings.inTask(int(pid)) {
		m.findings.task = &t
	}
	if state, err := m.state(t); err != nil || state != "D" {
		return nil
	}
	m.report.BlockedCount++
	m.sleepers = append(m.sleepers, sleeper{t, lastRan(t)})
	if len(m.sleepers) >= 2*maxBlocked {
		m.sortSleepers()
	}
	return nil
}

// sortSleepers keeps those that have not run for longest.
func (m *maker) sortSleepers() {
	slices.SortStableFunc(m.sleepers, func(a, b sleeper) int { return cmp.Compare(a.ran, b.ran) })
	m.sleepers = m.sleepers[:min(len(m.sleepers), maxBlocked)]
}

// blocked describes a blocked task; nil if it can't be read.
func (m *maker) blocked(s sleeper) *Task {
	t, err := m.task(s.task)
	if err != nil {
		return nil
	}
	if now := uint64(m.report.Kernel.Uptime); s.ran > 0 && s.ran < now {
		t.Off = time.Duration(now - s.ran)
	}
	t.Stack = m.stacks.sleeping(s.task)
	t.WaitsFor = m.lock(s.task, t.Stack)
	return t
}

// printable makes a text of the kernel's one that is fit to be printed and to be JSON.
func printable(s string) string {
	clean := true
	for i := range len(s) {
		clean = clean && s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	var b []byte
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c < 0x7f {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, `\x%02x`, c)
		}
	}
	return string(b)
}

// EachTask calls each with every task of a dump, threads among them, with the stack of those that are on no CPU. It
// ends when each returns an error, with that error.
func EachTask(ctx context.Context, dump vmcore.Memory, each func(Task) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMaker(ctx, dump)
	for _, do := range []func() error{m.info, m.types, m.modules} {
		if err := do(); err != nil {
			return err
		}
	}
	m.stacks.prepare(m)
	var stopped error
	m.eachThread = func(o object.Object) error {
		t, err := m.task(o)
		if err != nil {
			return err
		}
		if running, _ := o.Uint("on_cpu"); running == 0 {
			t.Stack = m.stacks.sleeping(o)
		}
		if stopped = each(*t); stopped != nil {
			cancel() // an error of one process would not end the list of all
		}
		return stopped
	}
	if err := m.tasks(); stopped == nil {
		return err
	}
	return stopped
}
