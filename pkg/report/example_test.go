package report_test

import (
	"context"
	"fmt"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/report"
)

func Example() {
	// The memory would be that of kdumpfile.Open; this kernel is made up.
	dump := dumptest.NewCrashedKernel(false, false).Memory()
	r := report.Make(context.Background(), dump)
	fmt.Println(r.Title)
	fmt.Printf("CPU %d, %s (%d)\n", r.Crashed.Number, r.Crashed.Task.Name, r.Crashed.Task.PID)
	for _, f := range r.Crashed.Stack.Frames {
		fmt.Printf("  %s+%#x/%#x\n", f.Symbol, f.Offset, f.Size)
	}
	for _, t := range r.Blocked {
		fmt.Printf("%s (%d) has waited for %v: %s %s, held by %s (%d)\n", t.Name, t.PID, t.Off, t.WaitsFor.Kind, t.WaitsFor.Symbol, t.WaitsFor.HolderName, t.WaitsFor.HolderPID)
	}
	for _, m := range r.Missing {
		fmt.Println("missing:", m.Part, m.Reason)
	}
	// Output:
	// NULL pointer dereference in crash_null [made]
	// CPU 1, culprit (43)
	//   crash_null+0x20/0x100
	//   vfs_write+0x20/0x100
	//   entry_SYSCALL_64+0x20/0x100
	// waiter (42) has waited for 10s: mutex made_lock, held by holder (44)
}
