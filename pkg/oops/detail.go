package oops

import (
	"strconv"
	"strings"
)

// detail takes a line that follows the first one about a crash.
func (c *crash) detail(text string) {
	text = c.boundaries(strings.TrimSpace(text))
	if text == "" {
		return
	}
	if c.modules {
		if c.moduleNames(text) {
			return
		}
		c.modules = false
	}
	switch {
	case strings.HasPrefix(text, "Call Trace:"), strings.HasPrefix(text, "Call trace:"), strings.HasPrefix(text, "Backtrace:"), text == "Call Trace":
		if c.other {
			c.other, c.open = false, false
			return
		}
		c.traces++
		c.open = c.traces == 1
		// Old kernels have the first frame, or a boundary, on the same line.
		_, rest, _ := strings.Cut(text, ":")
		if rest = strings.TrimSpace(rest); rest != "" && c.open {
			c.detail(rest)
		}
	case strings.HasPrefix(text, "---[ end trace"), strings.HasPrefix(text, "---[ end Kernel panic"):
		c.open, c.ended = false, true
	case strings.HasPrefix(text, "CPU: "):
		c.open = c.open && c.traces > 0 && len(c.Frames) == 0
		c.cpuLine(text)
	case strings.HasPrefix(text, "Pid: "):
		c.oldTaskLine(text)
	case strings.HasPrefix(text, "Hardware name: "):
		set(&c.Hardware, strings.TrimPrefix(text, "Hardware name: "))
	case strings.HasPrefix(text, "Modules linked in:"):
		c.open = false
		if len(c.Modules) == 0 {
			c.moduleNames(strings.TrimPrefix(text, "Modules linked in:"))
			c.modules = len(text) > 800
		}
	case strings.HasPrefix(text, "Tainted: "):
		c.taint(text)
	case strings.HasPrefix(text, "Failing address: ") && c.Kind == PageFault: // s390, whose message has none
		c.Kind = refineFault("address " + strings.TrimPrefix(text, "Failing address: ")).kind
	case c.register(text):
	case c.open && c.frame(text):
	case c.traces == 0 && c.PC != nil && strings.HasPrefix(text, "[<") && c.frame(text):
		c.traces, c.open = 1, true // riscv has no line before a stack that comes after registers
	case c.class == hang && idles(text):
		c.open, c.other = false, true
	case closes(text):
		c.open = false
	}
}

// boundaries takes the names of stacks off: <IRQ>, </IRQ>, <NMI>, <TASK>, <#DF>, and <EOI>, after which old kernels have
// what an interrupt interrupted.
func (c *crash) boundaries(text string) string {
	for strings.HasPrefix(text, "<") {
		end := strings.IndexByte(text, '>')
		if end < 2 || end > 16 || isHex(text[1]) && strings.HasPrefix(text, "<0x") {
			break
		}
		name := text[1:end]
		switch {
		case name == "EOI":
			c.interrupted = c.open
		case name == "/TASK":
			c.open = false
		case !isUpper(strings.TrimPrefix(strings.TrimPrefix(name, "/"), "#")):
			return text
		}
		text = strings.TrimSpace(text[end+1:])
	}
	return text
}

func isUpper(s string) bool {
	for i := range len(s) {
		if !('A' <= s[i] && s[i] <= 'Z' || s[i] == '_' || isDigit(s[i])) {
			return false
		}
	}
	return s != ""
}

// idles reports whether the next stack is that of the thread that waits for a grace period (kernel/rcu/tree_stall.h,
// rcu_check_gp_kthread_starvation), which is not what is stuck.
func idles(text string) bool {
	if strings.Contains(text, "RCU grace-period kthread stack dump") || strings.HasPrefix(text, "task:rcu_") {
		return true
	}
	name, state, _ := strings.Cut(text, " ")
	return strings.HasPrefix(name, "rcu_") && len(state) > 8 && state[0] == ' '
}

// closes reports whether a line comes after a stack only.
func closes(text string) bool {
	return begins(text, "Allocated by ", "Freed by ", "Last potentially ", "Second to last ", "The buggy address", "Memory state around", "Showing all locks", "Sending NMI ",
		"NMI backtrace for", "Kernel Offset:", "Last Breaking-Event", "Uninit was ", "Local variable", "Mem abort info", "Memory manager", "Code: Bad", "Instruction dump:", "======")
}

// frame takes a line of a stack.
func (c *crash) frame(text string) bool {
	f, ok := parseFrame(text)
	if !ok {
		// powerpc: "--- interrupt: 300 at vfs_write+0x10/0x20", "--- Exception: ..."; arm64 of old: "Exception stack(0x...".
		if strings.HasPrefix(text, "--- interrupt") || strings.HasPrefix(text, "--- Exception") || strings.HasPrefix(text, "Exception stack(") {
			c.interrupted = true
		}
		return false
	}
	f.Interrupted, c.interrupted = c.interrupted, false
	if first, ok := callee(text); ok && len(c.Frames) == 0 && (c.PC == nil || c.PC.Symbol != first.Symbol) {
		c.add(first)
	}
	c.add(f)
	return true
}

func (c *crash) add(f Frame) {
	if len(c.Frames) < maxFrames {
		f.Symbol, f.Module = strings.Clone(f.Symbol), strings.Clone(f.Module)
		c.Frames = append(c.Frames, f)
	}
}

// register takes a line with a program counter: of the registers before a stack, or within it, where something was interrupted.
func (c *crash) register(text string) bool {
	f, user, ok := programCounter(text)
	// After a stack old kernels say it again, without a segment.
	if !ok || c.traces > 0 && !strings.HasPrefix(text, "RIP: 00") && !strings.HasPrefix(text, "EIP: ") {
		return false
	}
	switch {
	case c.traces == 0:
		if c.PC == nil || c.PC.Symbol == "" && f.Symbol != "" {
			f.Interrupted = true
			f.Symbol, f.Module = strings.Clone(f.Symbol), strings.Clone(f.Module)
			c.PC, c.user = &f, user
		}
	case c.open && user:
		c.open = false
	case c.open:
		f.Interrupted = true
		c.add(f)
	}
	return true
}

// programCounter reads the line that has one, as each architecture prints it:
//
//	RIP: 0010:vfs_write+0xf8/0x440 [module]                          x86_64
//	RIP: 0010:[<ffffffff811d4a27>]  [<ffffffff811d4a27>] vfs_write+0xf8/0x440   before Linux 4.10
//	EIP: vfs_write+0xf8/0x440                                        x86_32; "EIP is at ..." before
//	pc : vfs_write+0xf8/0x440                                        arm64
//	epc : vfs_write+0xf8/0x440                                       riscv
//	PC is at vfs_write+0xf8/0x440                                    arm, arm64 before Linux 4.18
//	NIP [c000000000123456] vfs_write+0xf8/0x440                      powerpc
//	Krnl PSW : 0704c00180000000 000003e000123456 (vfs_write+0xf8/0x440)  s390
//	ERA: 9000000000123456 vfs_write+0xf8/0x440                       loongarch
func programCounter(text string) (f Frame, user, ok bool) {
	for _, prefix := range [...]string{"RIP: ", "EIP: ", "RIP ", "EIP is at ", "IP: ", "pc : ", "epc : ", "PC is at ", "NIP [", "Krnl PSW : ", "ERA: ", "era   : ", "epc   : "} {
		rest, found := strings.CutPrefix(text, prefix)
		if !found {
			continue
		}
		switch prefix {
		case "NIP [":
			rest = "[" + rest
		case "Krnl PSW : ":
			_, rest, _ = strings.Cut(rest, "(")
			rest = strings.TrimSuffix(strings.TrimSpace(rest), ")")
		case "ERA: ", "era   : ", "epc   : ":
			_, rest, _ = strings.Cut(rest, " ")
		}
		if segment, after, ok := strings.Cut(rest, ":"); ok && len(segment) == 4 && hexadecimal(segment) {
			// The lowest two bits of a code segment are the privilege level.
			user, rest = segment[3]&3 == 3, strings.TrimSpace(after)
		}
		if parsed, ok := parseFrame(rest); ok {
			parsed.Uncertain = false
			return parsed, user, true
		}
		word, _, _ := strings.Cut(rest, " ")
		addr, err := strconv.ParseUint(strings.TrimPrefix(strings.Trim(word, "[<>]"), "0x"), 16, 64)
		return Frame{Address: addr}, user, err == nil
	}
	return Frame{}, false, false
}

// cpuLine reads what dump_stack_print_info (lib/dump_stack.c) prints:
//
//	CPU: 0 UID: 0 PID: 179 Comm: exe Kdump: loaded Tainted: G           OE       6.12.118-amd64 #1  Debian 6.12.118-1
func (c *crash) cpuLine(text string) {
	if c.Comm != "" && c.Release != "" && c.Kind != HungTask {
		return // the first one counts
	}
	if n, ok := number(text, "CPU: "); ok && (c.CPU < 0 || c.class != hang) {
		c.CPU = n
	}
	if n, ok := number(text, "PID: "); ok && c.Kind != HungTask {
		c.PID = n
		if _, after, ok := strings.Cut(text, "Comm: "); ok {
			c.Comm = bounded(after[:commEnd(after)])
		}
	}
	c.taint(text)
}

// commEnd is where a task's name ends, which may have spaces.
func commEnd(s string) int {
	for _, next := range [...]string{" Kdump: ", " Not tainted", " Tainted: "} {
		if i := strings.Index(s, next); i >= 0 {
			return i
		}
	}
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return i
	}
	return len(s)
}

// oldTaskLine reads the same line as it was before Linux 3.10: "Pid: 1234, comm: sh Not tainted 2.6.32 #1".
func (c *crash) oldTaskLine(text string) {
	if n, ok := number(text, "Pid: "); ok && c.PID < 0 {
		c.PID = n
		if _, after, ok := strings.Cut(text, "comm: "); ok {
			c.Comm = bounded(after[:commEnd(after)])
		}
	}
	c.taint(text)
}

// taint reads the taint flags (kernel/panic.c, print_tainted) and the release, which follows them.
func (c *crash) taint(text string) {
	_, after, ok := strings.Cut(text, "Not tainted ")
	if !ok {
		if _, after, ok = strings.Cut(text, "Tainted: "); !ok {
			return
		}
		flags := ""
		for {
			after = strings.TrimLeft(after, " ")
			word, rest, _ := strings.Cut(after, " ")
			if strings.Trim(word, "-") != "" && !isUpper(word) || word == "" || isDigit(word[0]) {
				break
			}
			flags, after = flags+strings.Trim(word, "-"), rest // old kernels of Red Hat have hyphens for flags that are not set
		}
		if strings.HasPrefix(after, "[") {
			return // 6.11 and later say it again, in words
		}
		set(&c.Taint, strings.ReplaceAll(flags, "G", ""))
	}
	word, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	if word != "" && isDigit(word[0]) {
		set(&c.Release, word)
	}
}

// moduleNames reads names of modules, "nvme(E) ext4 [last unloaded: dummy]", as far as the line consists of them.
func (c *crash) moduleNames(text string) bool {
	text, _, _ = strings.Cut(text, "[last unloaded")
	if strings.ContainsAny(text, ":=<>/[+#") {
		return false
	}
	for word := range strings.FieldsSeq(text) {
		name, _, _ := strings.Cut(word, "(")
		if name == "" || !symbolStart(name[0]) && !isDigit(name[0]) {
			continue
		}
		if len(c.Modules) < maxModules {
			c.Modules = append(c.Modules, strings.Clone(name))
		}
	}
	return true
}

// named reads what the first line about a crash says itself: of the CPU, of the task, and of the function.
func (c *crash) named(text string) {
	switch c.Kind {
	case HungTask:
		// INFO: task NAME:PID blocked for more than 120 seconds.
		task, _, ok := strings.Cut(strings.TrimPrefix(text, "INFO: task "), " blocked ")
		if !ok {
			task, _, ok = strings.Cut(task, " can't die ")
		}
		if i := strings.LastIndexByte(task, ':'); ok && i > 0 {
			if pid, err := strconv.Atoi(task[i+1:]); err == nil {
				c.Comm, c.PID = bounded(task[:i]), pid
			}
		}
	case SoftLockup:
		// BUG: soft lockup - CPU#0 stuck for 26s! [NAME:PID]
		if n, ok := number(text, "CPU#"); ok {
			c.CPU = n
		}
	case HardLockup, MachineCheck:
		for _, before := range [...]string{"on cpu ", "CPU "} {
			if n, ok := number(text, before); ok {
				c.CPU = n
				break
			}
		}
	case Warning, Refcount, ListCorruption, BadObject:
		// WARNING: CPU: 0 PID: 179 at FILE:LINE name+0x2d/0x40, and since Linux 6.19 WARNING: FILE:LINE at name+0x2d/0x40, CPU#0: NAME/PID
		if n, ok := number(text, "CPU#"); ok {
			c.CPU = n
		}
		if strings.HasPrefix(text, "WARNING: CPU: ") && c.CPU < 0 {
			c.CPU, _ = number(text, "CPU: ")
		}
	}
}

// number reads the decimal number after a word.
func number(s, after string) (int, bool) {
	_, rest, ok := strings.Cut(s, after)
	if !ok {
		return 0, false
	}
	rest = strings.TrimLeft(rest, " ")
	end := 0
	for end < len(rest) && end < 10 && isDigit(rest[end]) {
		end++
	}
	n, err := strconv.Atoi(rest[:end])
	return n, err == nil
}

func set(field *string, value string) {
	if *field == "" {
		*field = bounded(strings.TrimSpace(value))
	}
}
