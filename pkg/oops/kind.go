package oops

import "strings"

// Kind is what happened: one of the words below.
type Kind string

// The kinds.
const (
	NullDereference   Kind = "null-dereference" // an address within the first page
	PageFault         Kind = "page-fault"       // another bad address
	GeneralProtection Kind = "general-protection"
	Bug               Kind = "bug"     // BUG(): kernel BUG at FILE:LINE
	Warning           Kind = "warning" // WARN(): fatal with panic_on_warn
	ListCorruption    Kind = "list-corruption"
	Refcount          Kind = "refcount"  // refcount_t: underflow; use-after-free
	UserCopy          Kind = "user-copy" // hardened usercopy, fortified string functions
	SoftLockup        Kind = "soft-lockup"
	HardLockup        Kind = "hard-lockup"
	HungTask          Kind = "hung-task"
	RCUStall          Kind = "rcu-stall"
	WorkqueueLockup   Kind = "workqueue-lockup"
	NMI               Kind = "nmi"           // one that nobody explains
	MachineCheck      Kind = "machine-check" // a hardware error, on any architecture
	SysRq             Kind = "sysrq"         // a crash that was asked for
	OutOfMemory       Kind = "out-of-memory"
	StackOverflow     Kind = "stack-overflow"
	StackCorruption   Kind = "stack-corruption" // stack protector, end of stack overwritten
	DoubleFault       Kind = "double-fault"
	DivideError       Kind = "divide-error"
	InvalidOpcode     Kind = "invalid-opcode" // that of no BUG() or WARN()
	ControlFlow       Kind = "control-flow"   // CFI, IBT, BTI, pointer authentication
	KASAN             Kind = "kasan"
	KFENCE            Kind = "kfence"
	KMSAN             Kind = "kmsan"
	KCSAN             Kind = "kcsan"
	UBSAN             Kind = "ubsan"
	Lockdep           Kind = "lockdep"                 // possible deadlock, wrong state of a lock, suspicious RCU usage
	AtomicSleep       Kind = "scheduling-while-atomic" // also: sleeping function called from invalid context
	BadPage           Kind = "bad-page"                // bad page state, bad page map
	SpinlockBug       Kind = "spinlock"
	BadObject         Kind = "bad-object" // an object in a wrong state, of the slab allocator or of debugobjects
	InitKilled        Kind = "init-killed"
	OtherFault        Kind = "fault" // a trap of another kind: alignment, int3, external abort
	OtherBug          Kind = "other-bug"
	OtherPanic        Kind = "panic" // panic() for any other reason
)

// Where is whose stack tells about a crash of a kind.
type Where int

// Whose stack it may be.
const (
	OnCrashedCPU Where = iota // that of the CPU that panicked
	OnCPU                     // that of the CPU that the log names: Oops.CPU
	InTask                    // that of the task that the log names: Oops.PID
	Nowhere                   // none: what ran there is a matter of chance
)

// Where tells whose stack [Oops.Frames] is, and which stack of a dump corresponds to it.
func (k Kind) Where() Where {
	switch k {
	case HungTask:
		return InTask
	case RCUStall, HardLockup:
		return OnCPU
	case SysRq, NMI, MachineCheck, OutOfMemory:
		return Nowhere
	}
	return OnCrashedCPU
}

// Title is the kind as the beginning of a title.
func (k Kind) Title() string {
	switch k {
	case NullDereference:
		return "NULL pointer dereference"
	case PageFault:
		return "page fault"
	case GeneralProtection:
		return "general protection fault"
	case Bug:
		return "kernel BUG"
	case Warning:
		return "WARNING"
	case ListCorruption:
		return "list corruption"
	case Refcount:
		return "refcount error"
	case UserCopy:
		return "bad copy"
	case SoftLockup:
		return "soft lockup"
	case HardLockup:
		return "hard lockup"
	case HungTask:
		return "task hung"
	case RCUStall:
		return "RCU stall"
	case WorkqueueLockup:
		return "workqueue lockup"
	case NMI:
		return "NMI"
	case MachineCheck:
		return "hardware error"
	case SysRq:
		return "crash by SysRq"
	case OutOfMemory:
		return "out of memory"
	case StackOverflow:
		return "stack overflow"
	case StackCorruption:
		return "stack corruption"
	case DoubleFault:
		return "double fault"
	case DivideError:
		return "divide error"
	case InvalidOpcode:
		return "invalid opcode"
	case ControlFlow:
		return "control flow violation"
	case KASAN, KFENCE, KMSAN, KCSAN, UBSAN:
		return strings.ToUpper(string(k)) + " report"
	case Lockdep:
		return "locking error"
	case AtomicSleep:
		return "scheduling while atomic"
	case BadPage:
		return "bad page"
	case SpinlockBug:
		return "spinlock error"
	case BadObject:
		return "object in a wrong state"
	case InitKilled:
		return "init was killed"
	case OtherFault:
		return "fault"
	case OtherBug:
		return "BUG"
	case OtherPanic:
		return "panic"
	}
	return string(k)
}
