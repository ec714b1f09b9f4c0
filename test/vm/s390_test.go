package vm

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// On s390x the capture kernel makes the elfcorehdr itself, of the memory that it finds: none is loaded, and none gets
// stale. A kernel for ordinary kexec stays loaded beside it.
func TestVMBuiltS390(t *testing.T) {
	vmlab.BuiltMatrix(t, func(t *testing.T, k *vmlab.Kernel) {
		cfg := archMachine(t, k)
		cfg.Memory = 768
		cfg.Files = append(cfg.Files, vmlab.File{Path: "/boot/vmlinux", Source: k.ELF})
		g := vmlab.Boot(t, cfg)
		load := []string{"load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", k.ConsoleArg()}
		checkRefusals(t, g, "0", []refusal{{"an ELF file whose parameter area is not in it",
			[]string{"load", "--crash", "/boot/vmlinux", "--initrd", guestInitrd, "--method", "file"}, 1, "vmlinux", "bzImage"}})
		t.Log(g.Must(append(append([]string{gokexec}, load...), "--dry-run")...))
		if said := g.Must(append([]string{gokexec}, load...)...); !strings.Contains(said, "by kexec_file_load") {
			t.Errorf("load says %q; want that it is by kexec_file_load", said)
		}
		if s := readStatus(t, g); !s.CrashLoaded || s.Header.Accuracy != "accurate" || !strings.Contains(s.Header.Reason, "of the memory that it finds") {
			t.Errorf("status: %+v; want accurate, since the capture kernel makes the header", s)
		}
		g.Must(gokexec, "hotplug")
		crashSegments(t, g)
	}, "built-s390x")
}
