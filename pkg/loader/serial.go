package loader

import (
	"fmt"
	"strconv"
	"strings"
)

// Serial is the serial port on which the purgatory reports a wrong digest. The
// zero Serial is none.
type Serial struct {
	Port uint16 `json:"port"`           // I/O port of an 8250
	Baud uint32 `json:"baud,omitempty"` // bits per second; 0 leaves the port as it is set up
}

// pcPorts are the I/O ports of ttyS0 to ttyS3 (arch/x86/include/asm/serial.h).
var pcPorts = [...]uint16{0x3f8, 0x2f8, 0x3e8, 0x2e8}

// ParseSerial reads "ttyS0", "ttyS0,115200" or "0x3f8,115200".
func ParseSerial(text string) (Serial, error) {
	if text == "" {
		return Serial{}, nil
	}
	name, baud, given := strings.Cut(text, ",")
	var s Serial
	if digit, ok := strings.CutPrefix(name, "ttyS"); ok {
		n, err := strconv.ParseUint(digit, 10, 8)
		if err != nil || n >= uint64(len(pcPorts)) {
			return Serial{}, fmt.Errorf("serial port %q: of the names ttyS0 to ttyS3 are known, for others give the I/O port", name)
		}
		s.Port = pcPorts[n]
	} else {
		n, err := strconv.ParseUint(name, 0, 16)
		if err != nil || n == 0 {
			return Serial{}, fmt.Errorf("serial port %q is neither a name like ttyS0 nor an I/O port like 0x3f8", name)
		}
		s.Port = uint16(n)
	}
	if !given {
		return s, nil
	}
	// 8 data bits, no parity, 1 stop bit: the rest of the kernel's syntax is no choice.
	digits, rest, _ := strings.Cut(baud, "n8")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 || rest != "" || 115200%n != 0 {
		return Serial{}, fmt.Errorf("baud rate %q of serial port %s is not a divisor of 115200", baud, name)
	}
	s.Baud = uint32(n)
	return s, nil
}
