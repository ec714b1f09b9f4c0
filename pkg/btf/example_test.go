package btf_test

import (
	"encoding/binary"
	"fmt"
	"log"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/btf"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func Example() {
	// In a kernel these are from the symbol __start_BTF to __stop_BTF.
	made := dumptest.NewBTF(binary.LittleEndian)
	u64 := made.Int("u64", 8, false)
	entity := made.Struct("sched_entity", dumptest.Member{Name: "load", Type: u64}, dumptest.Member{Name: "exec_start", Type: u64})
	made.Struct("task_struct", dumptest.Member{Name: "pid", Type: made.Int("int", 4, true)}, dumptest.Member{Name: "se", Type: entity})

	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	data := made.Bytes()
	addr := m.Store(data, 8)

	mem, err := vmcore.NewReader(vmcore.NewCache(m.Memory(), 1<<20))
	if err != nil {
		log.Fatal(err)
	}
	types, err := btf.Read(mem, addr, uint64(len(data)), []string{"task_struct", "se", "exec_start"})
	if err != nil {
		log.Fatal(err)
	}
	id, err := types.Type("task_struct")
	if err != nil {
		log.Fatal(err)
	}
	f, err := types.Field(id, "se.exec_start")
	fmt.Println(f.Offset, f.Size, err)
	// Output: 16 8 <nil>
}
