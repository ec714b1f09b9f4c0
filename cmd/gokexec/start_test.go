package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A process of a hotplug event ends at once if another one waits. What packages allocate before
// main is a part of what it costs: tables are laid out by the linker.
func TestStartAllocatesNothing(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gokexec")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	packages := 0
	for lines := bufio.NewScanner(&trace); lines.Scan(); {
		// init internal/bytealg @0.008 ms, 0 ms clock, 0 bytes, 0 allocs
		var name string
		var at, took float64
		var size, allocs int
		if _, err := fmt.Sscanf(lines.Text(), "init %s @%g ms, %g ms clock, %d bytes, %d allocs", &name, &at, &took, &size, &allocs); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		packages++
		if ours := name == "main" || strings.HasPrefix(name, "github.com/gokexec/"); ours && (size != 0 || allocs != 0) {
			t.Errorf("package %s allocates %d bytes at start; go tool nm lists its map.init or init", name, size)
		}
	}
	if packages < 10 {
		t.Fatalf("the trace has %d packages: %s", packages, trace.Bytes())
	}
}
