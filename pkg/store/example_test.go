package store_test

import (
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/store"
)

// A machine whose clock is dead says 1970; it crashed in 2026, and its capture kernel has run for 12 seconds.
func ExampleClock() {
	crash := time.Date(2026, 11, 30, 3, 14, 15, 0, time.UTC)
	fmt.Println(store.Clock(time.Unix(100, 0), crash, 12*time.Second).UTC())
	fmt.Println(store.Clock(crash.Add(time.Minute), crash, 12*time.Second).UTC())
	// Output:
	// 2026-11-30 03:14:27 +0000 UTC
	// 2026-11-30 03:15:15 +0000 UTC
}
