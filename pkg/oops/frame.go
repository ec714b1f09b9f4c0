package oops

import (
	"strconv"
	"strings"
)

// Frame is one call.
type Frame struct {
	// Symbol is the function's name as the kernel prints it, with the compiler's suffixes. It is empty where none is
	// known: then Address may be.
	Symbol string
	// Offset and Size are within the function, in bytes. Return addresses are those that the kernel prints: x86 and s390
	// look up the address before them, other architectures the address itself, so that a call that never returns has the
	// name of whatever function comes next, and offset 0. Such a frame is left out of fingerprints.
	Offset, Size uint64
	Module       string
	Address      uint64
	// Uncertain is a frame that the kernel marks by "? ": an address that lies on the stack, and need not be a call.
	Uncertain bool
	// Interrupted marks the first frame of what an exception, an interrupt or an NMI interrupted.
	Interrupted bool
}

// parseFrame reads a line of a call trace. These are the forms, of x86, arm64 and riscv; of older kernels; of ppc64; of
// s390, where the parentheses mean that it is not certain; and of arm, old and new; each also as
// scripts/decode_stacktrace.sh leaves it, with FILE:LINE after it:
//
//	? vfs_write+0xf8/0x440 [module]
//	[<ffffffff811d4a27>] ? vfs_write+0xf8/0x440
//	[c000000012345678] [c000000000012345] vfs_write+0xf8/0x440 (unreliable)
//	([<000003e000012345>] vfs_write+0xf8/0x440)
//	[<c0123456>] (vfs_write) from [<c0123457>] (ksys_write+0x10/0x20)
//	vfs_write from ksys_write+0x10/0x20
func parseFrame(s string) (Frame, bool) {
	var f Frame
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "("); ok && strings.HasPrefix(rest, "[<") {
		f.Uncertain, s = true, strings.TrimSuffix(rest, ")")
	}
	for {
		addr, rest, ok := bracketed(s)
		if !ok {
			break
		}
		f.Address, s = addr, strings.TrimSpace(rest)
	}
	if rest, ok := strings.CutPrefix(s, "? "); ok {
		f.Uncertain, s = true, strings.TrimSpace(rest)
	}
	if before, after, ok := strings.Cut(s, " from "); ok && f.fromForm(before, after) {
		return f, true
	}
	s = strings.TrimPrefix(s, "(")
	word, rest, _ := strings.Cut(s, " ")
	if !f.symbol(strings.TrimSuffix(word, ")")) {
		addr, ok := strings.CutPrefix(word, "0x")
		if !ok || rest != "" || len(addr) < 4 {
			return Frame{}, false
		}
		n, err := strconv.ParseUint(addr, 16, 64)
		f.Address = n
		return f, err == nil
	}
	return f, f.attributes(rest)
}

// fromForm reads the line of a 32-bit ARM: the callee is known from the line before.
func (f *Frame) fromForm(callee, caller string) bool {
	if strings.ContainsAny(strings.Trim(callee, "()"), " :=") && !strings.Contains(callee, " [") {
		return false
	}
	addr, rest, ok := bracketed(caller)
	if ok {
		f.Address, caller = addr, strings.TrimSpace(rest)
	}
	word, rest, _ := strings.Cut(strings.TrimPrefix(caller, "("), " ")
	return f.symbol(strings.TrimSuffix(word, ")")) && f.attributes(strings.TrimSuffix(rest, ")"))
}

// callee is the first function of such a line: the first line of a stack has two that are not known yet.
func callee(s string) (f Frame, ok bool) {
	if _, rest, ok := bracketed(s); ok {
		s = strings.TrimSpace(rest)
	}
	s, _, ok = strings.Cut(s, " from ")
	name, module, _ := strings.Cut(strings.Trim(s, "()"), " ")
	if !ok || name == "" || !symbolStart(name[0]) || strings.Contains(name, "+") {
		return Frame{}, false
	}
	return Frame{Symbol: name, Module: strings.Trim(module, "[]")}, true
}

// bracketed reads an address in brackets from the beginning of s.
func bracketed(s string) (addr uint64, rest string, ok bool) {
	inner, ok := strings.CutPrefix(s, "[")
	if !ok {
		return 0, "", false
	}
	inner, rest, ok = strings.Cut(inner, "]")
	if !ok {
		return 0, "", false
	}
	inner = strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(inner, "<"), ">"), "0x")
	if len(inner) < 8 {
		return 0, "", false
	}
	if strings.Trim(inner, "_") == "" {
		return 0, rest, true // left out by whoever published the log
	}
	addr, err := strconv.ParseUint(inner, 16, 64)
	return addr, rest, err == nil
}

// symbol reads name+0xOFFSET/0xSIZE.
func (f *Frame) symbol(s string) bool {
	name, numbers, ok := strings.Cut(s, "+0x")
	if !ok || name == "" || len(name) > 512 || !symbolStart(name[0]) {
		return false
	}
	offset, size, ok := strings.Cut(numbers, "/0x")
	if !ok {
		return false
	}
	var err1, err2 error
	f.Offset, err1 = strconv.ParseUint(offset, 16, 64)
	f.Size, err2 = strconv.ParseUint(size, 16, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	f.Symbol = name
	return true
}

func symbolStart(c byte) bool {
	return c == '_' || c == '.' || c == '$' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// attributes reads what comes after a symbol: the module, with its build ID if the kernel has CONFIG_STACKTRACE_BUILD_ID, and
// marks such as (unreliable) of ppc64 and (P) of arm64. Anything else means that the line is no frame.
func (f *Frame) attributes(s string) bool {
	for {
		s = strings.TrimSpace(s)
		if s == "" {
			return true
		}
		closing := byte(']')
		switch s[0] {
		case '[':
		case '(':
			closing = ')'
		default:
			// What scripts/decode_stacktrace.sh adds: kernel/sched/core.c:6566, or ??:?.
			word, rest, _ := strings.Cut(s, " ")
			if !strings.Contains(word, ":") || !strings.Contains(word, ".") && !strings.HasPrefix(word, "?") {
				return false
			}
			s = rest
			continue
		}
		end := strings.IndexByte(s, closing)
		if end < 0 {
			return false
		}
		inner := s[1:end]
		if closing == ']' {
			// [module buildid], or [buildid] of the kernel itself.
			name, _, more := strings.Cut(inner, " ")
			if f.Module == "" && (more || len(name) != 40 || !hexadecimal(name)) && len(name) < 64 {
				f.Module = name
			}
		} else if inner == "unreliable" {
			f.Uncertain = true
		}
		s = s[end+1:]
	}
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return s != ""
}
