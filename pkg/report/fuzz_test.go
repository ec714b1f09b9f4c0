package report_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/report"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// overwritten is memory in which words have been replaced.
type overwritten struct {
	vmcore.Memory
	at    []uint64 // addresses, of 8 bytes each
	words []uint64
}

func (o overwritten) ReadVirtAt(b []byte, addr uint64) (int, error) {
	n, err := o.Memory.ReadVirtAt(b, addr)
	for i, at := range o.at {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], o.words[i])
		for j := range uint64(8) {
			if p := at + j - addr; p < uint64(n) {
				b[p] = w[j]
			}
		}
	}
	return n, err
}

// FuzzMake: whatever words of a dump are replaced, by addresses in it or by anything else, a report is made, and in time;
// and what is bounded is.
func FuzzMake(f *testing.F) {
	k := dumptest.NewCrashedKernel(false, false)
	end := k.Alloc(0, 1)
	for _, at := range []uint64{k.At(k.Tasks["init"], "task_struct.tasks"), k.At(k.Tasks["waiter"], "task_struct.blocker"), k.Address("modules"), k.CrashRegisters(1) + 152, k.Address("__start_BTF") + 8} {
		f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, at-k.Virt), at), false)
		f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, at-k.Virt), ^uint64(0)), true)
	}
	f.Fuzz(func(t *testing.T, damage []byte, inside bool) {
		m := overwritten{Memory: k.Memory()}
		for ; len(damage) >= 16 && len(m.at) < 64; damage = damage[16:] {
			word := binary.LittleEndian.Uint64(damage[8:])
			if inside {
				word = k.Virt + word%(end-k.Virt)
			}
			m.at, m.words = append(m.at, k.Virt+binary.LittleEndian.Uint64(damage)%(end-k.Virt)), append(m.words, word)
		}
		began := time.Now()
		r := report.Make(context.Background(), m)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		b, err := json.Marshal(r)
		if err != nil || !utf8.Valid(b) || len(b) > 16<<20 {
			t.Errorf("%d bytes of JSON, %v", len(b), err)
		}
		if len(r.Blocked) > 64 || len(r.LogTail) > 500 || r.Memory != nil && (len(r.Memory.Slabs) > 10 || len(r.Memory.Processes) > 10) {
			t.Errorf("%d blocked tasks, %d lines, %+v", len(r.Blocked), len(r.LogTail), r.Memory)
		}
	})
}
