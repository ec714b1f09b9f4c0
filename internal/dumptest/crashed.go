package dumptest

import (
	"cmp"
	"slices"
)

// CrashedKernel is a made-up x86_64 kernel that crashed: text with unwind tables, a symbol table, types, two CPUs, a few
// tasks, a module, memory statistics and a log. Its structures have the kernel's names, and members enough for a report.
type CrashedKernel struct {
	*Image
	Types   *BTF
	Symbols []TableSymbol
	// Old says that module, rss_stat and ORC have the form of Linux 6.1; CodesOld that ORC numbers registers as it did
	// until 6.12.
	Old, CodesOld bool

	Tasks  map[string]uint64 // address of each task by name
	Module uint64            // address of struct module
	Lock   uint64            // address of the mutex that the task "waiter" waits for, and "holder" has

	tableSymbols map[string]uint64
	orcs         map[string][]orcEntry // of "" for the kernel and of the module
}

// orcEntry is struct orc_entry and where it begins to hold.
type orcEntry struct {
	at             uint64
	spOff, bpOff   int
	spReg          byte // 'u' undefined, 's' SP
	call, end, reg bool
}

// Functions of the made-up kernel are this many bytes long, and their frames that many without the return address.
const (
	funcSize  = 0x100
	frameSize = 0x18
)

// CrashedLog is the log of a CrashedKernel.
var CrashedLog = []string{
	"Linux version 6.16.0-made (made@up) #1 SMP",
	"Kernel command line: console=ttyS0 crashkernel=128M",
	"KHO: exec from: 6.15.0-before (count 1)",
	"BUG: kernel NULL pointer dereference, address: 0000000000000010",
	"#PF: supervisor read access in kernel mode",
	"Oops: Oops: 0000 [#1] SMP NOPTI",
	"CPU: 1 UID: 0 PID: 43 Comm: culprit Not tainted 6.16.0-made #1 PREEMPT(lazy)",
	"Hardware name: Made up, BIOS 1",
	"RIP: 0010:crash_null+0x20/0x100 [made]",
	"Call Trace:",
	" <TASK>",
	" vfs_write+0x20/0x100",
	" entry_SYSCALL_64+0x20/0x100",
	" </TASK>",
	"Modules linked in: made(OE)",
	"Kernel panic - not syncing: Fatal exception",
}

// NewCrashedKernel returns it.
func NewCrashedKernel(old, codesOld bool) *CrashedKernel {
	k := &CrashedKernel{Image: NewImage(Archs[0], "6.16.0-made"), Types: NewBTF(Archs[0].Order), Old: old, CodesOld: codesOld,
		Tasks: map[string]uint64{}, tableSymbols: map[string]uint64{}, orcs: map[string][]orcEntry{}}
	k.types()
	k.text()
	k.Line("BUILD-ID=0123456789abcdef0123456789abcdef01234567")
	k.addName("6.16.0-made")
	k.variables()
	k.module()
	k.cpus()
	k.memory()
	k.tables()
	r := NewRing(k.Image, RingConfig{CountBits: 5, SizeBits: 12})
	for i, line := range CrashedLog {
		r.Add(Entry{Time: 40e9 + uint64(i)*1e6, Text: []byte(line), Flags: 2}, Finalized)
	}
	r.Store()
	return k
}

// Define names an address in the symbol table.
func (k *CrashedKernel) Define(name string, addr uint64) uint64 {
	k.Symbols = append(k.Symbols, TableSymbol{name, 'T', addr})
	k.tableSymbols[name] = addr
	return addr
}

// Address is that of a symbol.
func (k *CrashedKernel) Address(name string) uint64 { return k.tableSymbols[name] }

// Set stores an integer in a member, "structure.member", of the structure at an address.
func (k *CrashedKernel) Set(addr uint64, member string, size int, v uint64) {
	off, ok := k.Types.Members[member]
	if !ok {
		panic("no member " + member)
	}
	k.Put(addr+uint64(off), size, v)
}

// At is the address of a member of the structure at an address.
func (k *CrashedKernel) At(addr uint64, member string) uint64 {
	return addr + uint64(k.Types.Members[member])
}

// New reserves a structure.
func (k *CrashedKernel) New(name string) uint64 { return k.Alloc(k.Types.Sizes[name], 64) }

// Text stores a string and returns where.
func (k *CrashedKernel) Text(s string) uint64 { return k.Store([]byte(s+"\x00"), 1) }

// List links the lists in structures into one with a head.
func (k *CrashedKernel) List(head uint64, nodes ...uint64) {
	all := append([]uint64{head}, nodes...)
	for i, at := range all {
		next := all[(i+1)%len(all)]
		k.Put(at, 8, next)
		k.Put(next+8, 8, at)
	}
}

// text makes the functions.
func (k *CrashedKernel) text() {
	text := k.Alloc(0x2000, 0x1000)
	for i, name := range []string{"_stext", "schedule", "panic", "vfs_read", "vfs_write", "kthread", "mutex_lock", "do_exit", "default_idle", "__crash_kexec",
		"ret_from_fork_asm", "entry_SYSCALL_64", "asm_exc_nmi"} {
		at := k.Define(name, text+uint64(i)*funcSize)
		switch name {
		case "ret_from_fork_asm":
			k.orc("", orcEntry{at: at, spReg: 'u', end: true})
		case "entry_SYSCALL_64", "asm_exc_nmi":
			k.orc("", orcEntry{at: at, spReg: 's', reg: true})
		case "__crash_kexec":
			k.orc("", orcEntry{at: at, spReg: 'u'})
		default:
			k.function("", at)
		}
	}
	k.Define("_etext", text+0x1000)
	// The call of __crash_kexec that panic returns to.
	call := k.Address("panic") + 0x20
	k.Bytes(call-5, 5)[0] = 0xe8
	k.Put(call-4, 4, k.Address("__crash_kexec")-call)
}

func (k *CrashedKernel) function(table string, at uint64) {
	k.orc(table, orcEntry{at: at, spOff: 8, spReg: 's', call: true}, orcEntry{at: at + 4, spOff: frameSize + 8, spReg: 's', call: true})
}

func (k *CrashedKernel) orc(table string, entries ...orcEntry) {
	k.orcs[table] = append(k.orcs[table], entries...)
}

// storeORC stores a table, and returns where its two parts are.
func (k *CrashedKernel) storeORC(table string) (ip, entries, count uint64) {
	all := k.orcs[table]
	slices.SortFunc(all, func(a, b orcEntry) int { return cmp.Compare(a.at, b.at) })
	ip, entries = k.Alloc(4*len(all), 4), k.Alloc(6*len(all), 2)
	for i, e := range all {
		at := ip + 4*uint64(i)
		k.Put(at, 4, e.at-at)
		sp, flags := uint64(3), uint64(0)
		if k.CodesOld {
			sp = 5
		}
		if e.spReg == 'u' {
			sp = 0
		}
		switch {
		case k.Old && e.end:
			flags = 4
		case k.Old && e.reg:
			flags = 1
		case k.Old:
		case e.end:
			flags = 1
		case e.reg:
			flags = 3 | 8
		case e.call:
			flags = 2
		}
		at = entries + 6*uint64(i)
		k.Put(at, 2, uint64(e.spOff))
		k.Put(at+2, 2, uint64(e.bpOff))
		k.Put(at+4, 1, sp)
		k.Put(at+5, 1, flags)
	}
	return ip, entries, uint64(len(all))
}

// Stack makes a stack: frames of functions, from the innermost outwards, each given by where it is called back. The
// last is entry_SYSCALL_64, on which registers of user mode follow, or ret_from_fork_asm. It returns SP.
func (k *CrashedKernel) Stack(functions ...string) uint64 {
	base := k.Alloc(0x1000, 0x1000)
	at := base + 0x400
	sp := at
	for _, name := range functions {
		at += frameSize
		k.Put(at, 8, k.Address(name)+0x20)
		at += 8
	}
	k.Put(at+128, 8, 0x401000) // ip
	k.Put(at+136, 8, 0x33)     // cs
	k.Put(at+152, 8, 0x7ffe0000)
	return sp
}

// tables stores what was collected.
func (k *CrashedKernel) tables() {
	ip, entries, n := k.storeORC("")
	k.Define("__start_orc_unwind_ip", ip)
	k.Define("__stop_orc_unwind_ip", ip+4*n)
	k.Define("__start_orc_unwind", entries)
	types := k.Types.Bytes()
	addr := k.Define("__start_BTF", k.Store(types, 8))
	k.Define("__stop_BTF", addr+uint64(len(types)))
	k.SymbolTable(SymbolsAbsolutePCP, k.Symbols)
}
