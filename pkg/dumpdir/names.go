package dumpdir

import (
	"strconv"
	"strings"
	"time"
)

// Names of the files of a dump.
const (
	Log        = "dmesg.txt"
	VMCore     = "vmcore"
	Incomplete = "vmcore.incomplete"
	Result     = "result.json"
	// Report and ReportJSON are what crashed and why, for people and for machines.
	Report     = "report.txt"
	ReportJSON = "report.json"
	// Shipped is what gokexec ship has sent of the dump, and Spool the encrypted memory while it is sent.
	Shipped = "ship.json"
	Spool   = "vmcore.ship.age"
)

// Encrypted is what the name of an encrypted file ends with.
const Encrypted = ".age"

// TimeLayout is how the time of a crash is in the name of a dump, in UTC: ISO 8601 without colons, which FAT and scp
// can't have.
const TimeLayout = "20060102T150405Z"

// MaxNumber bounds the number of a dump of the same second.
const MaxNumber = 999

// ParseName reads the name of a dump's directory: when its crash was, and which of several of that second it is, 0 for
// the first.
func ParseName(name string) (when time.Time, number int, ok bool) {
	base, suffix, suffixed := strings.Cut(name, "-")
	when, err := time.Parse(TimeLayout, base)
	if err != nil || when.Format(TimeLayout) != base {
		return when, 0, false
	}
	if suffixed {
		number, err = strconv.Atoi(suffix)
		if err != nil || number < 1 || number > MaxNumber || strconv.Itoa(number) != suffix {
			return when, 0, false
		}
	}
	return when, number, true
}
