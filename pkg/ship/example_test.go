package ship_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gokexec/gokexec/pkg/ship"
)

func ExampleShipper_Run() {
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	dump := filepath.Join(dir, "20261130T031415Z") // as a capture leaves it
	result, _ := json.Marshal(map[string]any{"outcome": "complete", "crash_time": "2026-11-30T03:14:15Z"})
	_ = os.Mkdir(dump, 0o700)
	_ = os.WriteFile(filepath.Join(dump, "result.json"), result, 0o600)
	_ = os.WriteFile(filepath.Join(dump, "vmcore"), []byte("memory"), 0o600)

	st := newMemoryStore() // store.Open opens real ones
	s := &ship.Shipper{Store: st, Location: "s3://crashes", MachineID: machine, Keep: -1}
	sum, err := s.Run(context.Background(), dir)
	fmt.Println(sum.Sent, "sent,", len(st.names("")), "objects", err)
	// Output: 1 sent, 3 objects <nil>
}
