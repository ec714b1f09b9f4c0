package report_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/gokexec/gokexec/pkg/report"
)

// A saved report is read back, and printed for people.
func ExampleReadJSON() {
	r, err := report.ReadJSON(strings.NewReader(`{
  "version": 1,
  "title": "Sysrq crash in sysrq_handle_crash",
  "fingerprint": "0123456789abcdef",
  "kernel": {"release": "6.12.48+deb13-amd64", "uptime_ns": 42000000000},
  "crashed": {"number": 1, "task": {"pid": 812, "tgid": 812, "name": "bash", "state": "R"}, "stack": {
    "frames": [{"address": "0xffffffff8a9c1f35", "symbol": "sysrq_handle_crash", "offset": 21, "size": 32}],
    "end": "user mode"
  }}
}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.WriteText(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Sysrq crash in sysrq_handle_crash
	//
	// fingerprint   0123456789abcdef
	// where         CPU 1, bash (pid 812)
	// when          42 s after boot
	// kernel        6.12.48+deb13-amd64
	//
	// Stack of CPU 1: bash (pid 812)
	//   sysrq_handle_crash+0x15/0x20
	//   -- user mode
}
