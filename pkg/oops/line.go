package oops

import (
	"strconv"
	"strings"
	"time"
)

// line is a line of a log, less what was put before the kernel's message.
type line struct {
	text   string
	stamp  time.Duration // since boot; -1 without one
	caller string        // T123 or C0 of CONFIG_PRINTK_CALLER
}

// cleanLine takes off levels, time stamps, callers and the prefixes of syslog, in whatever order and number they come.
func cleanLine(s string) line {
	l := line{text: strings.TrimRight(s, " \t\r\n\x00"), stamp: -1}
	if l.extended() {
		return l
	}
	for range 6 {
		l.text = strings.TrimLeft(l.text, " \t\x00")
		if !l.prefix() {
			break
		}
	}
	// What a program wrote to a serial console without ending its line: "login: [   12.345678] message".
	if i := strings.Index(l.text, ": ["); l.stamp < 0 && i > 0 && i < 80 {
		after := line{text: l.text[i+2:], stamp: -1}
		for after.prefix() {
			after.text = strings.TrimLeft(after.text, " ")
		}
		if after.stamp >= 0 {
			return after
		}
	}
	return l
}

// prefix takes one prefix off.
func (l *line) prefix() bool {
	s := l.text
	if s == "" {
		return false
	}
	switch {
	case s[0] == '<':
		// A level, as /dev/kmsg and /proc/kmsg have it.
		if end := strings.IndexByte(s, '>'); end >= 2 && end <= 4 && digits(s[1:end]) {
			l.text = s[end+1:]
			return true
		}
	case s[0] == '[':
		end := strings.IndexByte(s, ']')
		if end < 0 || end > 40 {
			return false
		}
		if !l.bracket(strings.TrimSpace(s[1:end])) {
			return false
		}
		l.text = s[end+1:]
		return true
	case isDigit(s[0]):
		// dmesg --time-format=iso, and syslog of today: 2026-11-30T00:58:49,123456+00:00
		if word, rest, ok := strings.Cut(s, " "); ok && len(word) >= 19 && word[4] == '-' && word[7] == '-' && (word[10] == 'T') {
			l.text = afterKernel(rest)
			return true
		}
	case month(s):
		// Nov 30 00:58:49 host kernel: message
		if len(s) > 16 && s[9] == ':' && s[12] == ':' && s[15] == ' ' {
			l.text = afterKernel(s[16:])
			return true
		}
	case strings.HasPrefix(s, "kern"):
		// dmesg --decode: "kern  :warn  : "
		if facility, rest, ok := strings.Cut(s, ":"); ok && strings.TrimSpace(facility) == "kern" && len(facility) <= 8 {
			if level, rest, ok := strings.Cut(rest, ":"); ok && len(level) <= 8 {
				l.text = rest
				return true
			}
		}
	}
	return false
}

// bracket reads what is between brackets at the beginning of a line, if it is a stamp or a caller.
func (l *line) bracket(s string) bool {
	if s == "" {
		return false
	}
	if seconds, fraction, ok := strings.Cut(s, "."); ok && digits(seconds) && digits(fraction) && len(fraction) <= 9 {
		if l.stamp < 0 {
			l.stamp = stamp(seconds, fraction)
		}
		return true
	}
	if (s[0] == 'T' || s[0] == 'C') && len(s) > 1 {
		id, _, _ := strings.Cut(s, "@")
		if digits(id[1:]) {
			l.caller = id
			return true
		}
	}
	// dmesg -T: Mon Nov 30 00:58:49 2026
	return len(s) == 24 && s[3] == ' ' && month(s[4:]) && s[13] == ':' && s[16] == ':'
}

func stamp(seconds, fraction string) time.Duration {
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || s > 1<<32 {
		return -1
	}
	n, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Duration(s)*time.Second + time.Duration(n)
}

// extended reads a line in the form of /dev/kmsg, which netconsole sends too: "6,1234,5678901,-,caller=T12;message"
// (Documentation/ABI/testing/dev-kmsg).
func (l *line) extended() bool {
	if l.text == "" || !isDigit(l.text[0]) {
		return false
	}
	head, text, ok := strings.Cut(l.text, ";")
	if !ok || len(head) > 80 {
		return false
	}
	level, rest, ok1 := strings.Cut(head, ",")
	sequence, rest, ok2 := strings.Cut(rest, ",")
	micros, flags, ok3 := strings.Cut(rest, ",")
	if !ok1 || !ok2 || !ok3 || !digits(level) || !digits(sequence) || !digits(micros) {
		return false
	}
	if n, err := strconv.ParseInt(micros, 10, 64); err == nil && n < 1<<52 {
		l.stamp = time.Duration(n) * time.Microsecond
	}
	if _, caller, ok := strings.Cut(flags, "caller="); ok {
		l.caller, _, _ = strings.Cut(caller, ",")
	}
	l.text = strings.TrimLeft(text, " ")
	return true
}

// afterKernel is what comes after syslog's "HOST kernel: ".
func afterKernel(s string) string {
	for _, mark := range [...]string{"kernel: ", "kernel:"} {
		if i := strings.Index(s, mark); i >= 0 && i < 80 {
			return s[i+len(mark):]
		}
	}
	return s
}

func month(s string) bool {
	if len(s) < 4 || s[3] != ' ' {
		return false
	}
	switch s[:3] {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec":
		return true
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// digits reports whether s is a decimal number.
func digits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
