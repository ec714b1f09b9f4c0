package object_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/btf"
	"github.com/gokexec/gokexec/pkg/object"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// world is memory with objects of made-up types.
type world struct {
	*dumptest.Image
	types *dumptest.BTF
	btf   uint64
	size  int
}

func newWorld() *world {
	w := &world{Image: dumptest.NewImage(dumptest.Archs[0], "6.12.0"), types: dumptest.NewBTF(dumptest.Archs[0].Order)}
	b := w.types
	u8, s16, u32, s32, u64, char := b.Int("u8", 1, false), b.Int("s16", 2, true), b.Int("u32", 4, false), b.Int("int", 4, true), b.Int("u64", 8, false), b.Int("char", 1, true)
	list := b.Struct("list_head", dumptest.Member{Name: "next", Type: b.Pointer(0)}, dumptest.Member{Name: "prev", Type: b.Pointer(0)})
	inner := b.Struct("inner", dumptest.Member{Name: "id", Type: s32}, dumptest.Member{Name: "big", Type: u64})
	b.Struct("thing", dumptest.Member{Name: "id", Type: s32}, dumptest.Member{Name: "small", Type: s16}, dumptest.Member{Name: "byte", Type: u8},
		dumptest.Member{Name: "list", Type: list}, dumptest.Member{Name: "name", Type: b.Array(char, 8)}, dumptest.Member{Name: "text", Type: b.Pointer(char)},
		dumptest.Member{Name: "next", Type: b.Pointer(inner)}, dumptest.Member{Name: "nothing", Type: b.Pointer(0)}, dumptest.Member{Name: "many", Type: b.Array(inner, 2)})
	b.Struct("flags", dumptest.Member{Name: "low", Type: u32, Bits: 3}, dumptest.Member{Name: "sign", Type: s32, Bits: 6}, dumptest.Member{Name: "top", Type: u32, Bits: 20})
	data := b.Bytes()
	w.btf, w.size = w.Store(data, 8), len(data)
	return w
}

func (w *world) kernel(t testing.TB) *object.Kernel {
	t.Helper()
	r, err := vmcore.NewReader(vmcore.NewCache(w.Memory(), 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	types, err := btf.Read(r, w.btf, uint64(w.size), strings.Fields("thing flags inner id small byte list name text next nothing many big low sign top"))
	if err != nil {
		t.Fatal(err)
	}
	return &object.Kernel{Reader: r, Types: types}
}

func (w *world) set(addr uint64, member string, size int, v uint64) {
	w.Put(addr+uint64(w.types.Members[member]), size, v)
}

func TestObject(t *testing.T) {
	w := newWorld()
	thing, inner := w.Alloc(w.types.Sizes["thing"], 8), w.Alloc(w.types.Sizes["inner"], 8)
	text, short := w.Store([]byte(strings.Repeat("x", 600)), 1), w.Store([]byte("short\x00"), 1)
	w.set(thing, "thing.id", 4, 0xfffffffb)
	w.set(thing, "thing.small", 2, 0x8000)
	w.set(thing, "thing.byte", 1, 0xff)
	copy(w.Bytes(thing+uint64(w.types.Members["thing.name"]), 8), "eight888")
	w.set(thing, "thing.text", 8, short)
	w.set(thing, "thing.next", 8, inner)
	w.set(inner, "inner.id", 4, 7)
	w.set(thing+uint64(w.types.Members["thing.many"])+16, "inner.big", 8, 1<<63)
	o, err := w.kernel(t).At("thing", thing)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int64{"id": -5, "small": -32768, "byte": 255, "many.id": 0, "next": int64(inner)} {
		if v, err := o.Int(path); v != want || err != nil {
			t.Errorf("Int(%s) = %d, %v; want %d", path, v, err, want)
		}
	}
	for path, want := range map[string]string{"name": "eight888", "text": "short"} {
		if s, err := o.String(path); s != want || err != nil {
			t.Errorf("String(%s) = %q, %v", path, s, err)
		}
	}
	w.set(thing, "thing.text", 8, text)
	if o, err = w.kernel(t).At("thing", thing); err != nil {
		t.Fatal(err)
	}
	if s, err := o.String("text"); len(s) != 256 || err != nil {
		t.Errorf("a text of 600 bytes is %d long, %v", len(s), err)
	}
	next, err := o.Follow("next")
	if err != nil || next.Address != inner {
		t.Fatalf("Follow = %+v, %v", next, err)
	}
	if id, err := next.Uint("id"); id != 7 || err != nil {
		t.Errorf("next.id = %d, %v", id, err)
	}
	many, err := o.Index("many", 1)
	if err != nil {
		t.Fatal(err)
	}
	if big, err := many.Uint("big"); big != 1<<63 || err != nil {
		t.Errorf("many[1].big = %#x, %v", big, err)
	}
	if !o.Has("byte") || o.Has("big") {
		t.Error("Has is wrong")
	}
	for _, err := range []error{second(o.Uint("no")), second(o.Uint("many")), second(o.Follow("nothing")), second(o.Follow("id")), second(o.Index("", 0)), second(o.Index("id", 0)), second(o.Index("no", 0)), second(w.kernel(t).At("no", 1)), second(next.String("no"))} {
		if err == nil {
			t.Error("what can't be has no error")
		}
	}
	o.Address = 1
	var read *vmcore.ReadError
	if _, err := o.Uint("id"); !errors.As(err, &read) {
		t.Errorf("of memory that isn't there: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestBits(t *testing.T) {
	w := newWorld()
	at := w.Alloc(w.types.Sizes["flags"], 4)
	w.Put(at, 4, 5|0x3d<<3|0xabcde<<9)
	o, err := w.kernel(t).At("flags", at)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int64{"low": 5, "sign": -3, "top": 0xabcde} {
		if v, err := o.Int(path); v != want || err != nil {
			t.Errorf("%s = %d, %v; want %d", path, v, err, want)
		}
	}
}

func TestList(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		last int // where the last element leads: -1 to the head
		want int // objects that come
		ok   bool
	}{
		{"empty", 0, -1, 0, true}, {"one", 1, -1, 1, true}, {"many", 1000, -1, 1000, true},
		{"into itself", 10, 9, 0, false}, {"back to the first", 10, 0, 0, false}, {"back to the middle", 1000, 500, 0, false},
	} {
		w := newWorld()
		head := w.Alloc(16, 8)
		off := uint64(w.types.Members["thing.list"])
		var nodes []uint64
		for i := range tt.n {
			at := w.Alloc(w.types.Sizes["thing"], 8)
			w.set(at, "thing.id", 4, uint64(i))
			nodes = append(nodes, at+off)
		}
		nodes = append(nodes, head)
		w.Put(head, 8, nodes[0])
		for i, at := range nodes[:tt.n] {
			w.Put(at, 8, nodes[i+1])
		}
		if tt.last >= 0 {
			w.Put(nodes[tt.n-1], 8, nodes[tt.last])
		}
		var ids []uint64
		err := w.kernel(t).List(head, "thing", "list", func(o object.Object) error {
			id, err := o.Uint("id")
			ids = append(ids, id)
			return err
		})
		if (err == nil) != tt.ok || !tt.ok && !errors.Is(err, object.ErrList) || tt.ok && len(ids) != tt.want || len(ids) > 4*tt.n+4 {
			t.Errorf("%s: %d objects, %v", tt.name, len(ids), err)
		}
		for i, id := range ids[:min(len(ids), tt.n)] {
			if int(id) != i {
				t.Fatalf("%s: object %d is %d", tt.name, i, id)
			}
		}
	}
	w := newWorld()
	head := w.Alloc(16, 8)
	w.Put(head, 8, 0x10)
	var read *vmcore.ReadError
	if err := w.kernel(t).List(head, "thing", "list", func(object.Object) error { return nil }); !errors.As(err, &read) {
		t.Errorf("a list that leads out of memory: %v", err)
	}
}

// FuzzObject: a number that was stored is read again, whatever its width and sign; whatever a list is, it ends.
func FuzzObject(f *testing.F) {
	f.Add(uint64(0x8000), uint64(3), []byte{1, 2, 3})
	f.Add(^uint64(0), uint64(0), []byte{0})
	f.Fuzz(func(t *testing.T, v, head uint64, links []byte) {
		w := newWorld()
		at := w.Alloc(w.types.Sizes["thing"], 8)
		flags := w.Alloc(w.types.Sizes["flags"], 4)
		w.set(at, "thing.id", 4, v)
		w.set(at, "thing.small", 2, v)
		w.set(at, "thing.byte", 1, v)
		w.Put(flags, 4, v)
		base := w.Alloc(256*16, 16)
		for i, l := range links[:min(len(links), 256)] {
			w.Put(base+16*uint64(i), 8, base+16*uint64(l))
		}
		k := w.kernel(t)
		o, err := k.At("thing", at)
		if err != nil {
			t.Fatal(err)
		}
		fl, err := k.At("flags", flags)
		if err != nil {
			t.Fatal(err)
		}
		got, want := make([]int64, 6), []int64{int64(int32(v)), int64(int16(v)), int64(uint8(v)), int64(v & 7), int64(v>>3&63) << 58 >> 58, int64(v >> 9 & 0xfffff)}
		for i, path := range []string{"id", "small", "byte"} {
			if got[i], err = o.Int(path); err != nil {
				t.Fatal(err)
			}
		}
		for i, path := range []string{"low", "sign", "top"} {
			if got[3+i], err = fl.Int(path); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%#x is read as %d; want %d", v, got, want)
		}
		n := 0
		err = k.List(base+16*(head%256), "thing", "list", func(object.Object) error { n++; return nil })
		if n > 2000 {
			t.Errorf("a list in 256 elements has %d, %v", n, err)
		}
	})
}

func Example() {
	// A kernel would be that of a dump; this one is made up.
	w := newWorld()
	at := w.Alloc(w.types.Sizes["thing"], 8)
	w.set(at, "thing.id", 4, 42)
	r, err := vmcore.NewReader(w.Memory())
	if err != nil {
		fmt.Println(err)
		return
	}
	types, err := btf.Read(r, w.btf, uint64(w.size), []string{"thing", "id"})
	if err != nil {
		fmt.Println(err)
		return
	}
	k := &object.Kernel{Reader: r, Types: types}
	o, err := k.At("thing", at)
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := o.Int("id")
	fmt.Println(id, err)
	// Output: 42 <nil>
}
