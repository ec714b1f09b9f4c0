package hotplug_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/hotplug"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// One event, handled by a program with its own functions to check and to load; gokexec
// uses accuracy.Verify and Loader.Reload.
func Example() {
	dir, err := os.MkdirTemp("", "hotplug")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	stale := true
	h := &hotplug.Handler{
		Dir:   statedir.Dir(dir),
		Quiet: 10 * time.Millisecond,
		Check: func(context.Context) hotplug.Status {
			if stale {
				return hotplug.Status{State: accuracy.Stale, Detail: "a DIMM is missing"}
			}
			return hotplug.Status{State: accuracy.Accurate}
		},
		Reload: func(context.Context, hotplug.Attempt) error { stale = false; return nil },
		Report: func(_ bool, line string) { fmt.Println(line) },
	}
	outcome, err := h.Event(context.Background())
	fmt.Println(outcome, err)
	// Output:
	// reloading the crash kernel: a DIMM is missing
	// reloaded <nil>
}
