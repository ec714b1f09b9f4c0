package kdumpfile_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

func TestFlattened(t *testing.T) {
	whole := dumptest.Flatten(dumptest.FlatRecord{Offset: 4, Data: []byte("efgh")}, dumptest.FlatRecord{Offset: 0, Data: []byte("abcd")})
	change := func(at int, c byte) []byte {
		b := bytes.Clone(whole)
		b[at] = c
		return b
	}
	const second = 4096 + 16 + 4 // where the second record begins
	for _, tt := range []struct {
		name   string
		b      []byte
		want   string // the file; "." for what can't be read
		damage string
		err    string
	}{
		{"out of order", whole, "abcdefgh", "", ""},
		{"later wins", dumptest.Flatten(dumptest.FlatRecord{Offset: 2, Data: []byte("xxxx")}, dumptest.FlatRecord{Offset: 0, Data: []byte("abcd")},
			dumptest.FlatRecord{Offset: 3, Data: []byte("D")}, dumptest.FlatRecord{Offset: 1, Data: nil}), "abcDxx", "", ""},
		{"inside", dumptest.Flatten(dumptest.FlatRecord{Offset: 0, Data: []byte("abcdefgh")}, dumptest.FlatRecord{Offset: 2, Data: []byte("XY")}), "abXYefgh", "", ""},
		{"hole", dumptest.Flatten(dumptest.FlatRecord{Offset: 3, Data: []byte("d")}), "\x00\x00\x00d", "", ""},
		{"empty", dumptest.Flatten(), "", "", ""},
		{"garbage after the end", append(bytes.Clone(whole), "garbage and more garbage"...), "abcdefgh", "", ""},
		{"no end mark", whole[:len(whole)-16], "abcdefgh", "without an end mark", ""},
		{"cut in a header", whole[:second+9], "....efgh", "without an end mark", ""},
		{"cut in a record", whole[:second+16+2], "ab..efgh", "within a record of 4 bytes", ""},
		{"negative offset", change(second, 0x80), "....efgh", "for 0x4 bytes at 0x8000000000000000", ""},
		{"negative size", change(second+8, 0x80), "....efgh", "for 0x8000000000000004 bytes at 0x0", ""},
		{"size beyond 63 bits", dumptest.Flatten(dumptest.FlatRecord{Offset: 1<<63 - 2, Data: []byte("abcd")}), "", "the record at 4096 is for 0x4 bytes at 0x7ffffffffffffffe", ""},
		{"empty record", dumptest.Flatten(dumptest.FlatRecord{Offset: 0, Data: []byte("abcd")}, dumptest.FlatRecord{}, dumptest.FlatRecord{Offset: 4, Data: []byte("efgh")}), "abcd", "is empty", ""},
		{"other version", change(31, 2), "", "", "type 1, version 2; 1 and 1 are known"},
		{"other type", change(23, 9), "", "", "type 9, version 1"},
		{"short", whole[:4095], "", "", "shorter than its header"},
		{"something else", make([]byte, 5000), "", "", "no flattened file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := kdumpfile.NewFlattened(bytes.NewReader(tt.b), int64(len(tt.b)))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, kdumpfile.ErrFormat) {
					t.Errorf("NewFlattened() = %v; want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("NewFlattened() = %v", err)
			}
			if f.Size() != int64(len(tt.want)) {
				t.Errorf("Size() = %d; want %d", f.Size(), len(tt.want))
			}
			got := make([]byte, len(tt.want))
			for i := range got {
				if n, err := f.ReadAt(got[i:i+1], int64(i)); n != 1 {
					got[i] = '.'
					if !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("ReadAt(%d) = %d, %v", i, n, err)
					}
				}
			}
			if string(got) != tt.want {
				t.Errorf("the file is %q; want %q", got, tt.want)
			}
			if tt.damage == "" != (f.Damage == nil) || len(f.Damage) > 0 && !strings.Contains(f.Damage[0].Error(), tt.damage) {
				t.Errorf("Damage = %v; want %q", f.Damage, tt.damage)
			}
			if n, err := f.ReadAt(make([]byte, 9), f.Size()-1); f.Size() > 0 && err == nil || n > 1 {
				t.Errorf("ReadAt(beyond the end) = %d, %v", n, err)
			}
		})
	}
}

// TestFlattenedDump opens flattened dumps of both forms, and what is left of one that was cut off.
func TestFlattenedDump(t *testing.T) {
	for _, a := range dumptest.Archs {
		k := kdump(a, 6)
		want := dumptest.LogText(t, open(t, k.Core.Bytes()))
		for name, file := range map[string][]byte{"ELF": k.Core.Bytes(), "compressed": k.Bytes()} {
			flat := dumptest.FlattenFile(file, 5000)
			d := open(t, flat)
			checkMemory(t, d, k.Core, nil)
			if got := dumptest.LogText(t, d); got != want {
				t.Errorf("%s %s: the log = %.200q; want %.200q", a.Name, name, got, want)
			}
			if d.Incomplete() || len(d.Damage()) != 0 {
				t.Errorf("%s %s: Incomplete() = %v, Damage() = %v", a.Name, name, d.Incomplete(), d.Damage())
			}
			d = open(t, flat[:len(flat)-16])
			if !d.Incomplete() || len(d.Damage()) == 0 || !errors.Is(d.Damage()[0], io.ErrUnexpectedEOF) {
				t.Errorf("%s %s: without its end Incomplete() = %v, Damage() = %v", a.Name, name, d.Incomplete(), d.Damage())
			}
			if got := dumptest.LogText(t, d); got != want {
				t.Errorf("%s %s: without its end the log = %.200q; want %.200q", a.Name, name, got, want)
			}
		}
	}
}
