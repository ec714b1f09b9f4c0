package machine

import "fmt"

// Kind says when the loaded kernel starts.
type Kind int

// The two images that Linux keeps.
const (
	Crash Kind = iota // started by a panic, in the crash region
	Boot              // started by a reboot: ordinary kexec
)

// String gives "crash" or "boot".
func (k Kind) String() string {
	if k == Boot {
		return "boot"
	}
	return "crash"
}

// MarshalText gives the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (k *Kind) UnmarshalText(b []byte) error {
	switch string(b) {
	case "crash":
		*k = Crash
	case "boot":
		*k = Boot
	default:
		return fmt.Errorf("kind %q is neither crash nor boot", b)
	}
	return nil
}
