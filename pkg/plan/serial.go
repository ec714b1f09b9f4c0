package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
)

// Serial is the serial port on which the purgatory reports a wrong digest. The
// zero Serial is none.
type Serial struct {
	Port uint16 `json:"port,omitempty"` // x86: I/O port of an 8250
	Baud uint32 `json:"baud,omitempty"` // bits per second; 0 leaves the port as it is set up

	// Elsewhere one of these.
	Name string `json:"name,omitempty"` // of the kernel's: ttyAMA0
	Kind string `json:"kind,omitempty"` // "pl011", "mmio", "mmio32"
	Addr uint64 `json:"address,omitempty"`
}

// serialKind is a port in memory by the name that earlycon= has for it.
func serialKind(name string) (kind purgatory.SerialKind, known bool) {
	switch name {
	case "pl011":
		return purgatory.SerialPL011, true
	case "mmio":
		return purgatory.Serial8250MMIO, true
	case "mmio32":
		return purgatory.Serial8250MMIO32, true
	}
	return kind, false
}

// pcPorts are the I/O ports of ttyS0 to ttyS3 (arch/x86/include/asm/serial.h).
var pcPorts = [...]uint16{0x3f8, 0x2f8, 0x3e8, 0x2e8}

// ParseSerial reads "ttyS0", "ttyS0,115200" or "0x3f8,115200"; for ports in
// memory "ttyAMA0", "pl011,0x9000000", "mmio,0x10000000" (an 8250) or "mmio32,...".
func ParseSerial(text string) (Serial, error) {
	if text == "" {
		return Serial{}, nil
	}
	name, baud, given := strings.Cut(text, ",")
	var s Serial
	if _, known := serialKind(name); known {
		addr, err := strconv.ParseUint(baud, 0, 64)
		if err != nil || addr == 0 {
			return Serial{}, fmt.Errorf("serial port %q: %q is no address", text, baud)
		}
		return Serial{Kind: name, Addr: addr}, nil
	}
	if strings.HasPrefix(name, "ttyAMA") {
		if given && baud != "115200" {
			return Serial{}, fmt.Errorf("serial port %q: the rate of %s stays as it is", text, name)
		}
		return Serial{Name: name}, nil
	}
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

// UsableOn tells whether a purgatory of that machine can report on the port.
func (s Serial) UsableOn(host *machine.Host) bool {
	_, err := s.purgatory(host)
	return err == nil
}

// purgatory is the port as the purgatory of the machine knows it.
func (s Serial) purgatory(host *machine.Host) (purgatory.Serial, error) {
	none := purgatory.Serial{}
	unusable := func(why string) error {
		return &advice.Problem{What: "serial port " + s.String() + ": " + why, Hint: "leave --serial out, or name one that the machine has (/sys/class/tty)"}
	}
	row := protocolOf(host.Arch.Machine)
	if (s == Serial{}) {
		if row.console == nil {
			return none, nil
		}
		return row.console(host), nil
	}
	if row.port == nil {
		return none, unusable("none on " + host.Arch.Name)
	}
	port, why := row.port(s, host)
	if why != "" {
		return none, unusable(why)
	}
	return port, nil
}

// memoryPort finds a port in memory: as it is given, or by its name.
func memoryPort(s Serial, host *machine.Host) (port purgatory.Serial, why string) {
	if s.Kind != "" {
		kind, _ := serialKind(s.Kind)
		return purgatory.Serial{Kind: kind, Addr: s.Addr}, ""
	}
	name := s.Name
	if n := slices.Index(pcPorts[:], s.Port); n >= 0 {
		name = fmt.Sprintf("ttyS%d", n) // an 8250 that is not at that I/O port here
	}
	found, known := host.SerialPorts[name]
	if !known {
		return port, "no port in memory of that name is known"
	}
	kind, _ := serialKind(found.Kind)
	return purgatory.Serial{Kind: kind, Addr: found.Addr}, ""
}

// String gives the port as ParseSerial reads it.
func (s Serial) String() string {
	text := s.Name
	switch {
	case s.Kind != "":
		return fmt.Sprintf("%s,%#x", s.Kind, s.Addr)
	case text == "":
		text = fmt.Sprintf("%#x", s.Port)
	}
	if s.Baud != 0 {
		text += fmt.Sprintf(",%d", s.Baud)
	}
	return text
}
