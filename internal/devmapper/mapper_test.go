package devmapper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/stack"
)

// kernel answers as drivers/md/dm-ioctl.c does, for one map.
type kernel struct {
	name, uuid     string
	loaded, active []stack.Row
	readOnly       bool
	interrupted    int // calls to answer EINTR
	flags          []uint32
	buffers        [][]byte
}

func (k *kernel) call(c command, b []byte) error {
	ne := binary.NativeEndian
	k.buffers = append(k.buffers, b)
	if k.interrupted > 0 {
		k.interrupted--
		clear(b[atFlags:])
		return unix.EINTR
	}
	if ne.Uint32(b[atVersion:]) != 4 || int(ne.Uint32(b[atDataSize:])) != len(b) || ne.Uint32(b[atDataStart:]) != headerSize {
		return unix.EINVAL
	}
	flags := ne.Uint32(b[atFlags:])
	k.flags = append(k.flags, flags)
	name := text(b[atName:][:nameSize])
	if c != devCreate && name != k.name {
		return unix.ENXIO
	}
	used := headerSize
	switch c {
	case devCreate:
		if k.name != "" {
			return unix.EBUSY
		}
		k.name, k.uuid = name, text(b[atUUID:][:uuidSize])
	case devRemove:
		*k = kernel{flags: k.flags, buffers: k.buffers}
	case devSuspend:
		k.active, k.readOnly = k.loaded, flags&flagReadOnly != 0
	case tableLoad:
		var err error
		if k.loaded, err = populate(b); err != nil {
			return err
		}
	case tableStatus:
		rows := k.active
		if flags&flagStatusTable == 0 {
			rows = []stack.Row{{Length: 8, Type: "linear"}}
		}
		ne.PutUint32(b[atTargetCount:], uint32(len(rows)))
		if n, ok := retrieve(b[headerSize:], rows); ok {
			used += n
		} else {
			ne.PutUint32(b[atFlags:], flags|flagBufferFull)
		}
	}
	ne.PutUint32(b[atDataSize:], uint32(used))
	ne.PutUint64(b[atDev:], 0x12345<<20|254<<8|0x67)
	return nil
}

func text(b []byte) string { s, _, _ := strings.Cut(string(b), "\x00"); return s }

// populate reads the targets of a request (populate_table, next_target).
func populate(b []byte) ([]stack.Row, error) {
	ne := binary.NativeEndian
	var rows []stack.Row
	at, next := 0, int(ne.Uint32(b[atDataStart:]))
	for range ne.Uint32(b[atTargetCount:]) {
		at += next
		if at+specSize > len(b) || at%8 != 0 {
			return nil, unix.EINVAL
		}
		next = int(ne.Uint32(b[at+atNext:]))
		if next < specSize+1 || at+next > len(b) || b[at+next-1] != 0 {
			return nil, unix.EINVAL
		}
		rows = append(rows, stack.Row{
			Start: ne.Uint64(b[at+atStart:]), Length: ne.Uint64(b[at+atLength:]),
			Type: text(b[at+atType:][:typeSize]), Args: text(b[at+specSize : at+next]),
		})
	}
	return rows, nil
}

// retrieve writes the targets of an answer (retrieve_status), and says whether there is room.
func retrieve(data []byte, rows []stack.Row) (int, bool) {
	ne := binary.NativeEndian
	at := 0
	for _, row := range rows {
		if len(data)-at <= specSize+len(row.Args) {
			return 0, false
		}
		spec := data[at:]
		ne.PutUint64(spec[atStart:], row.Start)
		ne.PutUint64(spec[atLength:], row.Length)
		clear(spec[16:specSize])
		copy(spec[atType:], row.Type)
		copy(spec[specSize:], row.Args+"\x00")
		at = (at + specSize + len(row.Args) + 1 + 7) &^ 7
		ne.PutUint32(spec[atNext:], uint32(at))
		if at > len(data) {
			return 0, false
		}
	}
	return at, true
}

func TestMapper(t *testing.T) {
	k := &kernel{}
	m := &Mapper{k.call}
	number, err := m.Create("vg-root", "LVM-abc")
	if want := (stack.Number{Major: 254, Minor: 0x1234567}); err != nil || number != want {
		t.Fatalf("Create = %v, %v; want %v", number, err, want)
	}
	if k.name != "vg-root" || k.uuid != "LVM-abc" {
		t.Errorf("the kernel has %q, %q", k.name, k.uuid)
	}
	table := []stack.Row{{Length: 8, Type: "linear", Args: "8:1 0"}, {Start: 8, Length: 1 << 40, Type: "crypt", Args: "aes 00ff 0 8:2 0"}, {Start: 1<<40 + 8, Length: 1, Type: "error"}}
	if err := errors.Join(m.Load("vg-root", true, table), m.Resume("vg-root", true)); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Table("vg-root"); err != nil || !slices.Equal(got, table) || !k.readOnly {
		t.Errorf("Table = %v, %v, read-only %v; want %v", got, err, k.readOnly, table)
	}
	if got, err := m.Status("vg-root"); err != nil || len(got) != 1 {
		t.Errorf("Status = %v, %v", got, err)
	}
	if want := []uint32{0, flagReadOnly | flagSecureData, flagReadOnly, flagStatusTable | flagSecureData, 0}; !slices.Equal(k.flags, want) {
		t.Errorf("flags = %#x; want %#x", k.flags, want)
	}
	if err := m.Remove("vg-root"); err != nil {
		t.Error(err)
	}
	if err := m.Remove("vg-root"); !errors.Is(err, unix.ENXIO) || err.Error() != "DM_DEV_REMOVE vg-root: no such device or address" {
		t.Errorf("Remove again = %v; want ENXIO", err)
	}
	for i, b := range k.buffers {
		if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
			t.Errorf("buffer %d was not wiped", i)
		}
	}
}

// An answer with more targets than the first buffer has room for is asked for again.
func TestLongTable(t *testing.T) {
	k := &kernel{name: "m"}
	for i := range uint64(5000) {
		k.active = append(k.active, stack.Row{Start: i, Length: 1, Type: "linear", Args: "8:1 12345"})
	}
	got, err := (&Mapper{k.call}).Table("m")
	if err != nil || !slices.Equal(got, k.active) {
		t.Errorf("Table = %d targets, %v; want %d", len(got), err, len(k.active))
	}
	if len(k.buffers) < 2 {
		t.Error("the first buffer was large enough")
	}
}

func TestInterrupted(t *testing.T) {
	k := &kernel{name: "m", interrupted: 3}
	if err := (&Mapper{k.call}).Load("m", false, []stack.Row{{Length: 1, Type: "zero"}}); err != nil || len(k.loaded) != 1 {
		t.Errorf("Load = %v, %v; want it made again", k.loaded, err)
	}
	k.interrupted = 1000
	if err := (&Mapper{k.call}).Resume("m", false); !errors.Is(err, unix.EINTR) {
		t.Errorf("Resume = %v; want EINTR after a while", err)
	}
}

// What the kernel would cut or misread never reaches it, and no key is in the error.
func TestEncodeRefuses(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, r := range map[string]request{
		"no name":      {},
		"long name":    {name: long},
		"NUL in name":  {name: "a\x00b"},
		"long UUID":    {name: "a", uuid: long},
		"no type":      {name: "a", table: []stack.Row{{Args: "secret"}}},
		"long type":    {name: "a", table: []stack.Row{{Type: long, Args: "secret"}}},
		"NUL in table": {name: "a", table: []stack.Row{{Type: "crypt", Args: "secret\x00"}}},
	} {
		if b, err := r.encode(0); err == nil || b != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: encode = %d bytes, %v; want an error", name, len(b), err)
		}
	}
}

func TestCommandNumber(t *testing.T) {
	if got := tableStatus.number(); got != 0xc138fd0c {
		t.Errorf("number of DM_TABLE_STATUS = %#x; want 0xc138fd0c", got)
	}
}

// The kernel reads what was encoded as it was meant, and what it answers is read as it is.
func FuzzRoundTrip(f *testing.F) {
	f.Add("m", "u", uint64(0), uint64(8), "linear", "8:1 0", "crypt", "aes 00 0 8:2 0")
	f.Add("m", "", uint64(1), uint64(1<<63), "a", "", "b", "1234567")
	f.Fuzz(func(t *testing.T, name, uuid string, start, length uint64, type1, args1, type2, args2 string) {
		table := []stack.Row{{Start: start, Length: length, Type: type1, Args: args1}, {Start: length, Length: start, Type: type2, Args: args2}}
		b, err := request{command: tableLoad, name: name, uuid: uuid, table: table}.encode(0)
		if err != nil {
			return
		}
		if got, err := populate(b); err != nil || !slices.Equal(got, table) || text(b[atName:]) != name || text(b[atUUID:]) != uuid {
			t.Fatalf("the kernel reads %+v, %v; want %+v", got, err, table)
		}
		data := make([]byte, headerSize+2*specSize+len(args1)+len(args2)+32)
		n, ok := retrieve(data[headerSize:], table)
		if !ok {
			t.Fatal("no room")
		}
		got, err := decodeRows(data, answer{targets: 2, start: headerSize, end: uint32(headerSize + n)})
		if err != nil || !slices.Equal(got, table) {
			t.Fatalf("decodeRows = %+v, %v; want %+v", got, err, table)
		}
	})
}

// Whatever an answer is, the targets read from it lie in it.
func FuzzDecode(f *testing.F) {
	b := make([]byte, headerSize+200)
	n, _ := retrieve(b[headerSize:], []stack.Row{{Length: 8, Type: "linear", Args: "8:1 0"}, {Length: 8, Type: "zero"}})
	binary.NativeEndian.PutUint32(b[atVersion:], 4)
	binary.NativeEndian.PutUint32(b[atTargetCount:], 2)
	binary.NativeEndian.PutUint32(b[atDataStart:], headerSize)
	binary.NativeEndian.PutUint32(b[atDataSize:], uint32(headerSize+n))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decode(b)
		if err != nil {
			return
		}
		rows, err := decodeRows(b, a)
		if err != nil {
			return
		}
		for _, row := range rows {
			if len(row.Type) >= typeSize || !bytes.Contains(b, []byte(row.Args+"\x00")) {
				t.Errorf("target %+v is not in the answer", row)
			}
		}
		if len(rows) != int(a.targets) || len(rows) > len(b)/specSize {
			t.Errorf("%d targets of %d in %d bytes", len(rows), a.targets, len(b))
		}
	})
}
