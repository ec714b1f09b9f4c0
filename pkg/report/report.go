package report

import "time"

// Version is that of the JSON form. It grows when a field changes its meaning or goes; new fields don't change it.
const Version = 1

// Report is what a dump says about its crash. Sizes are in bytes, addresses and offsets numbers of the crashed
// kernel's address space, durations nanoseconds.
type Report struct {
	Version int `json:"version"`

	// Title is one line: what happened and where, without addresses, CPUs and process numbers. Kind is what
	// happened, one of a small set of words ([oops.Kind]), and Message the kernel's own line about it.
	Title   string `json:"title,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Message string `json:"message,omitempty"`
	// Fingerprint is 16 hexadecimal digits that are the same for the same fault on other machines, kernels and
	// CPUs.
	Fingerprint string `json:"fingerprint,omitempty"`

	Kernel Kernel `json:"kernel"`

	// Crashed is the CPU that panicked with the task that ran there, and Others the other CPUs.
	Crashed *CPU  `json:"crashed,omitempty"`
	Others  []CPU `json:"others,omitempty"`
	// Blocked are the tasks in uninterruptible sleep, those that wait longest first.
	Blocked []Task `json:"blocked,omitempty"`
	// BlockedCount is the number of all such tasks, of which Blocked has no more than 64.
	BlockedCount int `json:"blocked_count,omitempty"`
	// TaskCount is the number of all tasks, threads among them.
	TaskCount int `json:"task_count,omitempty"`

	Modules []Module `json:"modules,omitempty"`
	Memory  *Memory  `json:"memory,omitempty"`
	// HardwareErrors are the recoverable hardware errors that the kernel has counted (hwerr_data, Linux 6.18).
	HardwareErrors []HardwareError `json:"hardware_errors,omitempty"`
	// ExecFrom is the release of the kernel that started the crashed one by kexec handover, if one did.
	ExecFrom string `json:"exec_from,omitempty"`

	// LogTail is the end of the kernel log, from 30 lines before the first about the crash, as vmcore-dmesg prints it. Of
	// one that is very long a line in brackets stands for the middle.
	LogTail []string `json:"log_tail,omitempty"`

	// Missing are the parts that could not be made, and why.
	Missing []Missing `json:"missing,omitempty"`
}

// Kernel is the kernel that crashed.
type Kernel struct {
	Release string `json:"release,omitempty"`
	// Version is the line of uname -v, BuildID the kernel's build ID in hexadecimal.
	Version string `json:"version,omitempty"`
	BuildID string `json:"build_id,omitempty"`
	Machine string `json:"machine,omitempty"`
	Cmdline string `json:"cmdline,omitempty"`
	// CrashTime is the time of the crash by the kernel's own clock, and Uptime how long it ran until then.
	CrashTime *time.Time    `json:"crash_time,omitempty"`
	Uptime    time.Duration `json:"uptime_ns,omitempty"`
	// Taint is the flags by their letters in the order of the kernel, such as "OE".
	Taint string `json:"taint,omitempty"`
	CPUs  int    `json:"cpus,omitempty"` // that were online
	// Hardware is the machine's name as the kernel prints it with an oops.
	Hardware string `json:"hardware,omitempty"`
}

// CPU is a processor, what it did, and for whom.
type CPU struct {
	Number int   `json:"number"`
	Task   *Task `json:"task,omitempty"`
	// Stack is that of the registers which the CPU left when it was stopped. It may begin in an interrupt.
	Stack *Stack `json:"stack,omitempty"`
	Idle  bool   `json:"idle,omitempty"`
}

// Task is a thread.
type Task struct {
	PID   int    `json:"pid"`
	TGID  int    `json:"tgid"`
	Name  string `json:"name"`
	State string `json:"state"` // as ps prints it: R, S, D, ...
	// Off is how long the task has not run.
	Off   time.Duration `json:"off_cpu_ns,omitempty"`
	Stack *Stack        `json:"stack,omitempty"`
	// WaitsFor is the lock that it waits for, on kernels that note it.
	WaitsFor *Lock   `json:"waits_for,omitempty"`
	Address  Address `json:"address,omitempty"`
}

// Lock is what a task waits for.
type Lock struct {
	Kind   string `json:"kind"`             // mutex, rwsem, semaphore
	Symbol string `json:"symbol,omitempty"` // name+0x10, of a static one
	// Holder is the task that has it, if that can be told.
	HolderPID  int    `json:"holder_pid,omitempty"`
	HolderName string `json:"holder_name,omitempty"`
	// HolderGone says that the task that had it has exited without giving it back.
	HolderGone bool    `json:"holder_gone,omitempty"`
	Address    Address `json:"address"`
}

// Stack is a chain of calls, the innermost first.
type Stack struct {
	Frames []Frame `json:"frames"`
	// End says how the walk ended: "user mode", "end of stack", or what stopped it.
	End string `json:"end,omitempty"`
}

// Frame is one call.
type Frame struct {
	Address Address `json:"address"`
	// Symbol, Offset, Size and Module are those of the function; Symbol is empty where none is known.
	Symbol string `json:"symbol,omitempty"`
	Offset uint64 `json:"offset"`
	Size   uint64 `json:"size,omitempty"`
	Module string `json:"module,omitempty"`
	// Interrupted marks the first frame of what was interrupted: the registers come from an exception, an
	// interrupt or an NMI.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Module is a loaded module.
type Module struct {
	Name    string  `json:"name"`
	Size    uint64  `json:"size"`
	State   string  `json:"state"` // live, coming, going
	Taint   string  `json:"taint,omitempty"`
	Version string  `json:"version,omitempty"`
	Address Address `json:"address"` // of its text
}

// Memory is where the memory was.
type Memory struct {
	Total       uint64 `json:"total"`
	Free        uint64 `json:"free"`
	Anonymous   uint64 `json:"anonymous"`
	File        uint64 `json:"file"`
	Shared      uint64 `json:"shared"` // tmpfs and shmem, a part of File
	SlabKept    uint64 `json:"slab_unreclaimable"`
	SlabCache   uint64 `json:"slab_reclaimable"`
	PageTables  uint64 `json:"page_tables"`
	KernelStack uint64 `json:"kernel_stack"`
	// Huge is what was set aside for hugetlb, used or not.
	Huge uint64 `json:"huge,omitempty"`
	// SwapTotal and SwapFree are of the swap space.
	SwapTotal uint64 `json:"swap_total,omitempty"`
	SwapFree  uint64 `json:"swap_free,omitempty"`

	Slabs     []Slab    `json:"slabs,omitempty"`     // the largest, in order
	Processes []Process `json:"processes,omitempty"` // the largest, in order
	// Hints are signs of a lack of memory, each a sentence.
	Hints []string `json:"hints,omitempty"`
}

// Slab is a cache of kernel objects.
type Slab struct {
	Name       string `json:"name"`
	Size       uint64 `json:"size"` // of all its slabs
	ObjectSize uint64 `json:"object_size"`
}

// Process is a process by what it held.
type Process struct {
	PID      int    `json:"pid"`
	Name     string `json:"name"`
	Resident uint64 `json:"resident"`
	Swapped  uint64 `json:"swapped"`
}

// HardwareError is a count of recoverable errors of one kind.
type HardwareError struct {
	Kind  string    `json:"kind"`
	Count uint64    `json:"count"`
	Last  time.Time `json:"last"`
}

// Missing is a part of the report that could not be made.
type Missing struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
}
