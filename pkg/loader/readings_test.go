package loader

import (
	"io/fs"
	"sync"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// countingFS counts how often each file is opened.
type countingFS struct {
	fs.FS
	mu     sync.Mutex
	opened map[string]int
}

func (c *countingFS) Open(name string) (fs.File, error) {
	c.mu.Lock()
	c.opened[name]++
	c.mu.Unlock()
	return c.FS.Open(name)
}

// The machine is read once before and once after: each reading of /proc/iomem opens it
// twice, or once while it is as it was. Here are all that gokexec hotplug makes for an event:
// the verification that finds the header stale, and the reload with its own.
func TestReloadReadsMachineOnceBeforeAndAfter(t *testing.T) {
	for _, method := range []plan.Method{plan.Auto, plan.File, plan.Segments} {
		b := newBench(t)
		b.loadOne(t, "x")
		b.kernel.AddMemory(kexectest.DIMM())
		root := &countingFS{FS: b.Root, opened: map[string]int{}}
		b.Root = root
		before := accuracy.Verify(root, b.StateDir)
		if before.Accuracy != accuracy.Stale {
			t.Fatalf("after memory was added: %v; want stale", before)
		}
		out, err := b.Reload(t.Context(), ReloadOptions{Method: method, LockHeld: true, Machine: before.Machine})
		if err != nil || out.Verification.Accuracy != accuracy.Accurate {
			t.Fatalf("Reload by %v = %v, %v; want accurate", method, out.Verification, err)
		}
		if n := root.opened["proc/iomem"]; n > 4 {
			t.Errorf("a reload by %v opens /proc/iomem %d times; want 4 at most", method, n)
		}
	}
}

// A reading that is given is not believed longer than it is true: memory that comes
// during the load makes the reload's own verification stale.
func TestReloadOfStaleReading(t *testing.T) {
	b := newBench(t)
	b.loadOne(t, "x")
	host, err := machine.ReadHost(b.Root, b.Arch)
	if err != nil {
		t.Fatal(err)
	}
	b.kernel.AddMemory(kexectest.DIMM())
	out, err := b.Reload(t.Context(), ReloadOptions{LockHeld: true, Machine: host.Dump})
	if err != nil || out.Verification.Accuracy != accuracy.Stale {
		t.Errorf("Reload of an old reading = %v, %v; want it found stale", out.Verification, err)
	}
}
