package wire

import (
	"encoding/json"
	"time"
)

// Op names what the host asks for.
type Op string

// The requests, with the type of Request.Args and of Reply.Result.
const (
	OpRun    Op = "run"    // RunArgs, RunResult; output arrives in TypeOutput replies
	OpSignal Op = "signal" // SignalArgs, nothing
	OpWrite  Op = "write"  // WriteArgs, nothing
	OpRead   Op = "read"   // ReadArgs, nothing; content arrives in TypeOutput replies
	OpGlob   Op = "glob"   // GlobArgs, GlobResult
	OpPlant  Op = "plant"  // PlantArgs, PlantResult
	OpMemory Op = "memory" // MemoryArgs, nothing; content arrives in TypeOutput replies
	OpCrash  Op = "crash"  // CrashArgs; answered before it happens
	OpReboot Op = "reboot" // RebootArgs; answered before it happens
)

// Request is what the host sends.
type Request struct {
	ID   uint64          `json:"id"`
	Op   Op              `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// Type tells replies apart.
type Type string

const (
	TypeHello  Type = "hello"  // the guest is up; Hello is set
	TypeAck    Type = "ack"    // the request was read
	TypeOutput Type = "output" // a piece of Stream
	TypeDone   Type = "done"   // the request is finished; Error or Result is set
	TypeBad    Type = "bad"    // the guest read a damaged frame; Error says which
)

// Reply is what the guest sends.
type Reply struct {
	Type   Type            `json:"type"`
	ID     uint64          `json:"id,omitempty"`
	Stream string          `json:"stream,omitempty"` // "stdout", "stderr", "data"
	Data   []byte          `json:"data,omitempty"`
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Hello  *Hello          `json:"hello,omitempty"`
}

// Hello is how a booted kernel introduces itself.
type Hello struct {
	Release  string        `json:"release"`  // uname -r
	Machine  string        `json:"machine"`  // uname -m
	Cmdline  string        `json:"cmdline"`  // /proc/cmdline
	BootID   string        `json:"boot_id"`  // /proc/sys/kernel/random/boot_id: differs for each kernel
	Uptime   time.Duration `json:"uptime"`   // since this kernel began
	PageSize int           `json:"pagesize"` // bytes
	Restart  int           `json:"restart"`  // how often the agent had to be restarted under this kernel
	Warnings []string      `json:"warnings"` // what went wrong on the way up
}

// RunArgs start a program.
type RunArgs struct {
	Argv      []string      `json:"argv"`
	Env       []string      `json:"env,omitempty"` // in addition to the agent's own
	Dir       string        `json:"dir,omitempty"`
	Stdin     []byte        `json:"stdin,omitempty"`
	StdinPath string        `json:"stdin_path,omitempty"` // instead of Stdin
	Timeout   time.Duration `json:"timeout,omitempty"`    // 0 is none
}

// RunResult is how a program ended.
type RunResult struct {
	Code     int           `json:"code"`              // exit status, -1 if killed
	Signal   string        `json:"signal,omitempty"`  // what killed it
	TimedOut bool          `json:"timeout,omitempty"` // killed because Timeout had passed
	Duration time.Duration `json:"duration"`
	UserTime time.Duration `json:"user"`
	SysTime  time.Duration `json:"sys"`
	MaxRSS   int64         `json:"maxrss"` // bytes
}

// SignalArgs send a signal to a running program.
type SignalArgs struct {
	Target uint64 `json:"target"` // ID of the OpRun request
	Signal int    `json:"signal"`
	Group  bool   `json:"group"` // its process group
}

// WriteArgs write a piece of a file.
type WriteArgs struct {
	Path   string `json:"path"`
	Data   []byte `json:"data"`
	Offset int64  `json:"offset"`
	Mode   uint32 `json:"mode,omitempty"` // permission bits for a new file; 0 is 0644
	Create bool   `json:"create"`         // create or truncate; a sysfs file is only opened
}

// ReadArgs read a file.
type ReadArgs struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset,omitempty"`
	Length int64  `json:"length,omitempty"` // 0 is up to the end
}

// GlobArgs list files by a filepath.Glob pattern.
type GlobArgs struct {
	Pattern string `json:"pattern"`
}

// GlobResult is sorted.
type GlobResult struct {
	Names []string `json:"names"`
}

// PlantArgs fill pages by FillNoncePage and keep them in memory.
type PlantArgs struct {
	Nonce []byte `json:"nonce"` // NonceSize bytes
	Pages int    `json:"pages"`
	Kind  string `json:"kind,omitempty"` // "" is memory of a process
	Min   uint64 `json:"min,omitempty"`  // lowest physical address
	Max   uint64 `json:"max,omitempty"`  // exclusive; 0 is no bound
}

// Kinds of planted pages.
const (
	PlantCache  = "cache"  // of a file
	PlantKernel = "kernel" // of a pipe; PlantResult has no addresses
	PlantFreed  = "freed"  // given back to the kernel, which may use them again
)

// PlantResult says where the pages are.
type PlantResult struct {
	PageSize int      `json:"pagesize"`
	Phys     []uint64 `json:"phys"` // physical address of page i, through /proc/self/pagemap
}

// MemoryArgs read physical memory.
type MemoryArgs struct {
	Source string `json:"source"` // "mem" (/dev/mem) or "kcore" (/proc/kcore)
	Addr   uint64 `json:"addr"`
	Length uint64 `json:"length"`
}

// CrashArgs panic the kernel by sysrq.
type CrashArgs struct {
	CPU int `json:"cpu"` // on which CPU; -1 is wherever
}

// RebootArgs end the kernel. Mode is "reboot", "poweroff", "halt" or "kexec"
// (into the image that is loaded).
type RebootArgs struct {
	Mode string `json:"mode"`
}
