package vm

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// usageRow is a line of makedumpfile --mem-usage.
var usageRow = regexp.MustCompile(`(?m)^(ZERO|NON_PRI_CACHE|PRI_CACHE|USER|FREE|KERN_DATA)\s+(\d+)`)

func usageOf(t *testing.T, text string) map[string]float64 {
	t.Helper()
	usage := map[string]float64{}
	for _, m := range usageRow.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		usage[m[1]] = n
	}
	if len(usage) != 6 {
		t.Fatalf("--mem-usage prints %q", text)
	}
	return usage
}

// On a running machine the pages of each kind are told as makedumpfile tells them, as far as the machine holds still, and
// what is estimated is what a dump of it then takes.
func TestVMEstimate(t *testing.T) {
	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := crashMachine(t, k)
		cfg.Memory = 768
		theirs, err := vmlab.GetTestPackage(t, "sid", "makedumpfile").GuestProgram("usr/bin/makedumpfile")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Files = append(append(cfg.Files, theirs.Files...), vmlab.File{Path: "/bin/makedumpfile", Link: "/bin/gokexec"})
		g := vmlab.Boot(t, cfg)
		var estimate struct {
			Pages   uint64
			Classes []struct {
				Class string
				Pages uint64
			}
			Levels  []int64           `json:"bytes_at_level"`
			Refused map[string]string `json:"not_told"`
		}
		if err := json.Unmarshal([]byte(g.Must(gokexec, "dump", "--estimate", "--json")), &estimate); err != nil {
			t.Fatal(err)
		}
		if len(estimate.Refused) > 0 {
			t.Errorf("classes that can't be told: %v", estimate.Refused)
		}
		moved := 0.1 * float64(estimate.Pages)
		ours := usageOf(t, g.Must("/bin/makedumpfile", "--message-level", "2", "--mem-usage", "/proc/kcore"))
		theirsRun := g.Run(append(theirs.Argv, "--message-level", "6", "--mem-usage", "/proc/kcore")...)
		t.Logf("ours %v, estimate %v", ours, estimate.Classes)
		if theirsRun.Code != 0 {
			t.Logf("makedumpfile --mem-usage can't tell: %s%s", theirsRun.Stdout, theirsRun.Stderr)
		} else {
			original := usageOf(t, theirsRun.Stdout)
			t.Logf("theirs %v", original)
			// makedumpfile counts the crash memory as pages of zeroes. The machine goes on running meanwhile, and
			// each program has memory of its own.
			for _, name := range []string{"NON_PRI_CACHE", "PRI_CACHE", "USER", "FREE"} {
				n := original[name]
				if got := ours[name]; math.Abs(got-n) > moved {
					t.Errorf("%s: %.0f pages; makedumpfile has %.0f", name, got, n)
				}
			}
		}
		for _, c := range estimate.Classes {
			if c.Class == "free" && math.Abs(float64(c.Pages)-ours["FREE"]) > moved {
				t.Errorf("the estimate has %d free pages, --mem-usage %.0f", c.Pages, ours["FREE"])
			}
		}
		// Not to a file in memory: it takes pages that a CPU holds ready, and those are in the dump.
		size, err := strconv.ParseInt(strings.TrimSpace(shell(g, "gokexec dump /proc/kcore -o - --format flattened --dump-level 31 | wc -c")), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if want := estimate.Levels[31]; size < want/2 || size > want*2 {
			t.Errorf("a dump of the running machine has %d bytes; %d were estimated", size, want)
		}
		t.Logf("estimated %d, is %d", estimate.Levels[31], size)
		g.Must(gokexec, "dump", "/proc/kcore", "-o", "/live", "--dump-level", "31")
		if log := g.Must(gokexec, "dmesg", "/live"); !strings.Contains(log, "Linux version") {
			t.Errorf("the log in the dump of the running machine is %.200q", log)
		}
		// The root directory is in memory: no target for a dump. On a busy host the machine is too slow for an estimate.
		r := g.Run(gokexec, "check", "--target", "dir:/")
		if r.Code != 1 || !strings.Contains(r.Stdout, "a dump of level 31 takes about ") && !strings.Contains(r.Stdout, "it takes too long on this machine") {
			t.Errorf("gokexec check: exit code %d, %s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
}
