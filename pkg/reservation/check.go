package reservation

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/advice"
)

// CheckID names the finding of Check.
const CheckID advice.CheckID = "reservation"

// Check tells whether what is reserved is enough for a capture of this machine, before a crash tells. That
// nothing is reserved is the business of another check.
func Check(m Machine) advice.Finding {
	if len(m.Crash) == 0 {
		return advice.NotKnown(CheckID, "no crash memory is reserved, or it is not known")
	}
	last := m.Crash[len(m.Crash)-1]
	region, all := m.Reserved()
	above := last.End > fourGiB
	need, low := sums(m.parts(above))
	says := fmt.Sprintf("%s are reserved, a capture of this machine needs about %s", advice.MiB(all), advice.MiB(need+low))
	if !above {
		need, low = need+low, 0
	}
	switch {
	case region < need:
	case all-region < low:
		says += fmt.Sprintf(", %s of it below 4 GiB", advice.MiB(low))
	default:
		return advice.Passed(CheckID, "%s", says)
	}
	return advice.Finding{Check: CheckID, Level: advice.Warning, Detail: says + ": it may run out of memory",
		Remedy: "boot with " + Recommend(m).String() + "; gokexec estimate tells what needs it"}
}
