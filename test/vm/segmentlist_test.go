package vm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Real kernels answer to good and bad lists of segments as the fake one does.
func TestVMSegmentLists(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		g := vmlab.Boot(t, vmlab.Config{Kernel: k, CrashKernel: "128M", Files: []vmlab.File{
			vmlab.Executable("/bin/kexecload", vmlab.BuildTest(t, "./test/vm/kexecload", k.Arch)),
		}})
		iomem, err := memmap.ParseIomem(strings.NewReader(g.ReadFile("/proc/iomem")))
		if err != nil {
			t.Fatal(err)
		}
		regions := iomem.CrashKernel()
		lists := kexectest.SegmentLists(regions[len(regions)-1], iomem.SystemRAM().Size())
		input, err := json.Marshal(lists)
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.VM.Run(t.Context(), vmlab.Command{Argv: []string{"kexecload"}, Stdin: input})
		if err != nil || r.Code != 0 {
			t.Fatalf("kexecload: %v, exit code %d, %s", err, r.Code, r.Stderr)
		}
		out := bytes.NewBufferString(r.Stdout)
		for _, l := range lists {
			var got int
			if _, err := fmt.Fscan(out, &got); err != nil {
				t.Fatalf("%s: %v in %q", l.Name, err, r.Stdout)
			}
			if unix.Errno(got) != l.Want {
				t.Errorf("%s: errno %d (%v); want %d (%v)", l.Name, got, unix.Errno(got), l.Want, l.Want)
			}
		}
	}, "bookworm-cloud", "trixie-cloud", "backports-cloud")
}
