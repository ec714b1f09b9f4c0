package plan

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
)

// On s390x a vmlinux that the kernel would oops on is refused before the call.
func TestS390Vmlinux(t *testing.T) {
	arch, err := machine.ArchByName("s390x")
	if err != nil {
		t.Fatal(err)
	}
	m := kexectest.NewMachine(t)
	host, err := machine.ReadHost(os.DirFS(m.Dir), arch)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		begins  uint64
		refused bool
	}{{"vmlinux", 0x100000, true}, {"with the code that boots", 0, false}} {
		e := imagetest.GoodELF(elf.EM_S390, binary.BigEndian)
		e.Entry = tt.begins + 0x10000
		e.Data = append(e.Data, make([]byte, 0x20000)...)
		e.Progs = []elf.Prog64{{Type: uint32(elf.PT_LOAD), Flags: 5, Off: 0x1000, Vaddr: tt.begins, Paddr: tt.begins, Filesz: 0x20000, Memsz: 0x20000, Align: 0x1000}}
		for _, kind := range []machine.Kind{machine.Crash, machine.Boot} {
			p, err := New(host, &Spec{Kind: kind, Kernel: FromBytes("vmlinux", e.Bytes())})
			if err != nil {
				t.Fatal(err)
			}
			if f := p.checkImage(host); (f.Level == advice.Failure) != tt.refused || tt.refused && !strings.Contains(f.Remedy, "bzImage") {
				t.Errorf("%s, %v: %+v; want it refused: %t", tt.name, kind, f, tt.refused)
			}
		}
	}
}
