package vmlab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLongestDelay(t *testing.T) {
	tasks := t.TempDir()
	if got := longestDelay(tasks); got != 0 {
		t.Errorf("without threads: %v; want 0", got)
	}
	for name, text := range map[string]string{"7": "9000000000 1000000000 5\n", "8": "1 2500000000 12\n", "9": "", "10": "3 x 5\n"} {
		if err := os.MkdirAll(filepath.Join(tasks, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tasks, name, "schedstat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := longestDelay(tasks); got != 2500*time.Millisecond {
		t.Errorf("got %v; want 2.5s, of the thread that waited most", got)
	}
}

// A process that waits for nothing and gets no answer ends its step in time.
func TestBound(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	vm := &VM{cmd: cmd}
	ctx, cancel := vm.bound(t.Context(), 200*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); !strings.Contains(err.Error(), "nothing for") {
		t.Errorf("the step ended by %v; want that nothing came", err)
	}
	ctx, cancel = vm.bound(t.Context(), time.Hour)
	cancel()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a step that is over: %v; want %v", err, context.Canceled)
	}
}
