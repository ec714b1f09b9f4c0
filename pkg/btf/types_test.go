package btf_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/btf"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// made is a set of types in which each kind of member occurs, behind enough others that markers count.
func made() *dumptest.BTF {
	b := dumptest.NewBTF(binary.LittleEndian)
	u8, u32, u64, s64 := b.Int("unsigned char", 1, false), b.Int("unsigned int", 4, false), b.Int("unsigned long", 8, false), b.Int("long", 8, true)
	for i := range 100 {
		b.Struct(fmt.Sprintf("filler_%d", i), dumptest.Member{Name: "a", Type: u32}, dumptest.Member{Name: fmt.Sprintf("member_%d", i), Type: u64})
	}
	b.Raw("handler", 12, 0, false, 0)                 // FUNC
	b.Raw("", 13, 2, false, 0, 0, u32, 0, u64)        // FUNC_PROTO
	b.Raw("variable", 14, 0, false, u32, 1)           // VAR
	b.Raw(".data", 15, 1, false, 8, 1, 0, 8)          // DATASEC
	b.Raw("double", 16, 0, false, 8)                  // FLOAT
	b.Raw("tag", 17, 0, false, u32, ^uint32(0))       // DECL_TAG
	b.Raw("big", 19, 1, true, 8, 0, 0xfffffffe, 1<<8) // ENUM64
	b.Raw("forward", dumptest.KindFwd, 0, true, 0)
	state := b.Enum("state", "STATE_IDLE", "STATE_BUSY", "STATE_GONE")
	tagged := b.Modifier(dumptest.KindTypeTag, "rcu", u64)
	alias := b.Modifier(dumptest.KindTypedef, "ulong_t", b.Modifier(dumptest.KindConst, "", b.Modifier(dumptest.KindVolatile, "", tagged)))
	inner := b.Struct("inner", dumptest.Member{Name: "first", Type: u8}, dumptest.Member{Name: "second", Type: s64})
	union := b.Union("", dumptest.Member{Name: "as_number", Type: u64}, dumptest.Member{Name: "as_bytes", Type: b.Array(u8, 16)})
	anonymous := b.Struct("", dumptest.Member{Name: "pad", Type: u32}, dumptest.Member{Type: union})
	b.Struct("outer",
		dumptest.Member{Name: "head", Type: u32}, dumptest.Member{Name: "alias", Type: alias}, dumptest.Member{Name: "in", Type: inner},
		dumptest.Member{Type: anonymous}, dumptest.Member{Name: "many", Type: b.Array(inner, 3)}, dumptest.Member{Name: "next", Type: b.Pointer(inner)},
		dumptest.Member{Name: "nothing", Type: b.Pointer(0)}, dumptest.Member{Name: "state", Type: state})
	b.Struct("bits", dumptest.Member{Name: "low", Type: u32, Bits: 4}, dumptest.Member{Name: "middle", Type: u32, Bits: 7}, dumptest.Member{Name: "next", Type: u32, Bits: 30})
	b.Modifier(dumptest.KindTypedef, "state", u8) // the enum of that name counts
	return b
}

const wanted = "filler_99 a member_42 outer head alias in first second as_number as_bytes pad many next nothing state bits low middle STATE_BUSY STATE_GONE inner no_such big"

// read stores the bytes in memory and reads them.
func read(t testing.TB, b []byte, wanted string) (*btf.Types, error) {
	t.Helper()
	m := dumptest.NewImage(dumptest.Archs[0], "6.12.0")
	addr := m.Store(b, 8)
	r, err := vmcore.NewReader(vmcore.NewCache(m.Memory(), 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	return btf.Read(r, addr, uint64(len(b)), strings.Fields(wanted))
}

func TestField(t *testing.T) {
	b := made()
	types, err := read(t, b.Bytes(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		typ, path string
		want      btf.Field
		typeName  string
	}{
		{"outer", "head", btf.Field{Size: 4}, "unsigned int"},
		{"outer", "alias", btf.Field{Offset: 8, Size: 8}, "unsigned long"},
		{"outer", "in", btf.Field{Offset: 16, Size: 16}, "inner"},
		{"outer", "in.second", btf.Field{Offset: 24, Size: 8, Signed: true}, "long"},
		{"outer", "pad", btf.Field{Offset: 32, Size: 4}, "unsigned int"},
		{"outer", "as_number", btf.Field{Offset: 40, Size: 8}, "unsigned long"},
		{"outer", "as_bytes", btf.Field{Offset: 40, Size: 16, Array: true, Count: 16}, ""},
		{"outer", "many", btf.Field{Offset: 56, Size: 48, Array: true, Count: 3}, ""},
		{"outer", "many.second", btf.Field{Offset: 64, Size: 8, Signed: true}, "long"},
		{"outer", "next", btf.Field{Offset: 104, Size: 8, Pointer: true}, ""},
		{"outer", "nothing", btf.Field{Offset: 112, Size: 8, Pointer: true}, ""},
		{"outer", "state", btf.Field{Offset: 120, Size: 4}, "state"},
		{"outer", "", btf.Field{Size: 128}, "outer"},
		{"bits", "low", btf.Field{Size: 1, Bits: 4}, "unsigned int"},
		{"bits", "middle", btf.Field{Size: 2, Bits: 7, Shift: 4}, "unsigned int"},
		{"bits", "next", btf.Field{Offset: 4, Size: 4, Bits: 30}, "unsigned int"},
		{"filler_99", "a", btf.Field{Size: 4}, "unsigned int"},
	} {
		id, err := types.Type(tt.typ)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second answer comes from what is kept
			f, err := types.Field(id, tt.path)
			if err != nil {
				t.Fatalf("%s.%s: %v", tt.typ, tt.path, err)
			}
			if name := types.Name(f.Type); name != tt.typeName {
				t.Errorf("%s.%s is of type %q; want %q", tt.typ, tt.path, name, tt.typeName)
			}
			if elem := types.Name(f.Elem); elem != map[string]string{"as_bytes": "unsigned char", "many": "inner", "next": "inner"}[tt.path] && tt.typ == "outer" {
				t.Errorf("%s.%s leads to %q", tt.typ, tt.path, elem)
			}
			f.Type, f.Elem = 0, 0
			if !reflect.DeepEqual(f, tt.want) {
				t.Errorf("%s.%s = %+v; want %+v", tt.typ, tt.path, f, tt.want)
			}
		}
	}
	for path, want := range map[string]string{"no_such": "outer.no_such", "head.first": "outer.head.first", "in.head": "outer.in.head", "not_named": "outer.not_named"} {
		id, _ := types.Type("outer")
		var missing *btf.MissingError
		if _, err := types.Field(id, path); !errors.As(err, &missing) || err.Error() != "this kernel has no "+want {
			t.Errorf("Field(%s) = %v", path, err)
		}
	}
	if _, err := types.Type("no_such"); err == nil {
		t.Error("a type is known that isn't there")
	}
}

func TestConstants(t *testing.T) {
	types, err := read(t, made().Bytes(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := types.Constant("STATE_GONE"); v != 2 || !ok {
		t.Errorf("STATE_GONE = %d, %v", v, ok)
	}
	if v, ok := types.Constant("STATE_IDLE"); ok {
		t.Errorf("STATE_IDLE, which was not asked for, = %d", v)
	}
	id, err := types.Type("state")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := types.Enum(id); err != nil || !reflect.DeepEqual(got, []btf.Enumerator{{"STATE_IDLE", 0}, {"STATE_BUSY", 1}, {"STATE_GONE", 2}}) {
		t.Errorf("Enum = %+v, %v", got, err)
	}
	if id, err = types.Type("big"); err != nil {
		t.Fatal(err)
	}
	if got, err := types.Enum(id); err != nil || len(got) != 1 || got[0].Value != 1<<40|0xfffffffe {
		t.Errorf("Enum of 64 bits = %+v, %v", got, err)
	}
	if id, _ = types.Type("outer"); id == 0 {
		t.Fatal("no outer")
	}
	if _, err := types.Enum(id); err == nil {
		t.Error("a structure has enumerators")
	}
}

func TestRefused(t *testing.T) {
	good := made().Bytes()
	for _, tt := range []struct {
		name, want string
		change     func(b []byte) []byte
	}{
		{"too short", "24 to 67108864 are expected", func(b []byte) []byte { return b[:20] }},
		{"magic", "magic number", func(b []byte) []byte { b[0] = 1; return b }},
		{"version", "version 2", func(b []byte) []byte { b[2] = 2; return b }},
		{"names beyond the end", "are not within", func(b []byte) []byte { return b[:len(b)-1] }},
		{"types overlap the end", "unexpected EOF", func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[12:], binary.LittleEndian.Uint32(b[12:])-3)
			return b
		}},
	} {
		b := tt.change(append([]byte(nil), good...))
		if _, err := read(t, b, wanted); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
	b := made()
	b.Raw("new", 25, 0, false, 0)
	var unknown *btf.UnknownKindError
	if _, err := read(t, b.Bytes(), wanted); !errors.As(err, &unknown) || unknown.Kind != 25 {
		t.Errorf("a kind that is not known: %v", err)
	}
}

// Types that lead to themselves end.
func TestCircles(t *testing.T) {
	b := dumptest.NewBTF(binary.LittleEndian)
	b.Raw("loop", dumptest.KindTypedef, 0, false, 1)                                  // 1: itself
	b.Raw("nest", 4, 1, false, 8, 0, 2, 0)                                            // 2: has itself as an anonymous member
	b.Raw("", 3, 0, false, 0, 3, 3, 1<<20)                                            // 3: an array of itself
	b.Struct("holder", dumptest.Member{Name: "x", Type: 3}, dumptest.Member{Type: 0}) // an array of itself, and one of void
	types, err := read(t, b.Bytes(), "loop nest holder x")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loop", "nest", "holder"} {
		id, err := types.Type(name)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := types.Field(id, "x"); err == nil {
			t.Errorf("%s.x = %+v", name, f)
		}
	}
}

// FuzzRead: whatever the bytes are, reading and looking up end, and a field is where it can be.
func FuzzRead(f *testing.F) {
	good := made().Bytes()
	f.Add(good, uint32(0), uint8(0))
	f.Add(good, uint32(30), uint8(0xff))
	f.Add(good, uint32(5000), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, at uint32, change uint8) {
		if len(b) > 1<<20 {
			return
		}
		b = append([]byte(nil), b...)
		if len(b) > 0 {
			b[int(at)%len(b)] ^= change
		}
		types, err := read(t, b, wanted)
		if err != nil {
			return
		}
		for _, name := range strings.Fields(wanted) {
			id, err := types.Type(name)
			if err != nil {
				continue
			}
			if int(id) > types.Len() || id == 0 {
				t.Errorf("Type(%s) = %d of %d", name, id, types.Len())
			}
			_, _ = types.Enum(id)
			for _, path := range []string{"", "in.second", "as_number", "many", "next", "low", "state"} {
				f, err := types.Field(id, path)
				if err == nil && (f.Bits > 64 || f.Bits > 0 && f.Size > 8 || f.Pointer && f.Size != 8) {
					t.Errorf("%s.%s = %+v", name, path, f)
				}
			}
		}
	})
}
