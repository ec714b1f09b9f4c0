package fdt

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func sample() *Tree {
	root := &Node{}
	root.Set("#address-cells", []byte{0, 0, 0, 2})
	root.Set("#size-cells", []byte{0, 0, 0, 2})
	root.SetString("compatible", "linux,dummy-virt")
	memory := root.Make("memory@40000000")
	memory.SetString("device_type", "memory")
	reg, _ := Cells{2, 2}.Append(nil, 0x40000000, 0x40000000)
	memory.Set("reg", reg)
	chosen := root.Make("chosen")
	chosen.SetString("bootargs", "console=ttyAMA0")
	chosen.SetUint64("linux,initrd-start", 0x48000000)
	chosen.Set("empty", []byte{})
	root.Make("soc").Make("serial@9000000").Set("odd", []byte{0xff, 0x80, 1, 2, 3})
	return &Tree{Root: root, BootCPU: 3, Reserved: []Reservation{{0x48000000, 0x1000}, {1 << 40, 5}}}
}

func encode(t testing.TB, tree *Tree) []byte {
	t.Helper()
	b, err := tree.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	got, err := Parse(encode(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(AppendBinary) = %+v; want %+v", got, want)
	}
}

func TestNode(t *testing.T) {
	root := sample().Root
	if c := root.Child("memory"); c == nil || c.Name != "memory@40000000" {
		t.Errorf("Child(memory) = %+v; want memory@40000000", c)
	}
	if c := root.Child("mem"); c != nil {
		t.Errorf("Child(mem) = %+v; want nil", c)
	}
	chosen := root.Make("chosen")
	if v, ok := chosen.Uint("linux,initrd-start"); v != 0x48000000 || !ok {
		t.Errorf("Uint = %#x, %t; want 0x48000000", v, ok)
	}
	chosen.Delete("linux,initrd-start", "empty", "not there")
	if len(chosen.Properties) != 1 {
		t.Errorf("after Delete there are %+v; want bootargs alone", chosen.Properties)
	}
	cells, err := root.Cells()
	if err != nil || cells != (Cells{2, 2}) {
		t.Errorf("Cells = %+v, %v; want 2, 2", cells, err)
	}
	reg, _ := root.Child("memory").Property("reg")
	rs, err := cells.Ranges(reg)
	if err != nil || !reflect.DeepEqual(rs, []Reservation{{0x40000000, 0x40000000}}) {
		t.Errorf("Ranges = %v, %v; want 1 GiB at 1 GiB", rs, err)
	}
	if _, err := (Cells{1, 1}).Append(nil, 1<<32, 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("4 GiB in one cell: %v; want %v", err, ErrInvalid)
	}
	if _, err := (Cells{2, 1}).Ranges(reg); !errors.Is(err, ErrInvalid) {
		t.Errorf("16 bytes as 3 cells: %v; want %v", err, ErrInvalid)
	}
	if c, err := (&Node{}).Cells(); err != nil || c != (Cells{1, 1}) {
		t.Errorf("Cells without properties = %+v, %v; want 1, 1", c, err)
	}
}

func TestParseErrors(t *testing.T) {
	change := func(do func(b []byte)) []byte {
		b := encode(t, sample())
		do(b)
		return b
	}
	put := func(at int, v uint32) []byte { return change(func(b []byte) { be.PutUint32(b[at:], v) }) }
	deep := &Node{}
	for n := range MaxDepth {
		deep = &Node{Name: "n", Children: []*Node{deep}}
		deep.Children[0].Name = map[bool]string{true: "leaf", false: "n"}[n == 0]
	}
	deep.Name = ""
	if _, err := (&Tree{Root: deep}).AppendBinary(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("AppendBinary of %d levels = %v; want %v", MaxDepth+1, err, ErrInvalid)
	}
	first := headerSize + 3*reservationSize // of the structure block
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "header"},
		{"magic", put(0, 1), "magic"},
		{"totalsize too large", put(4, 1<<31), "totalsize"},
		{"totalsize too small", put(4, 10), "totalsize"},
		{"structure beyond the end", put(8, 1<<30), "structure block"},
		{"structure not aligned", put(8, 0x5a), "structure block"},
		{"strings beyond the end", put(12, 1<<30), "strings block"},
		{"reservations in the header", put(16, 8), "reservation block"},
		{"reservations without end", put(16, uint32(len(encode(t, sample())))&^7), "no end"},
		{"version 3", put(20, 3), "version 3"},
		{"from the future", put(24, 18), "compatible down to 18"},
		{"huge strings", put(32, ^uint32(0)), "strings block"},
		{"huge structure", put(36, ^uint32(0)), "structure block"},
		{"structure cut", put(36, 8), "ends early"},
		{"token", put(first, 7), "token 0x7"},
		{"ends at once", put(first, tokenEnd), "the end"},
		{"closes at once", put(first, tokenEndNode), "did not begin"},
		{"property outside", put(first, tokenProp), ""},
		{"property size", put(first+12, 1<<31), "has 2147483648 bytes"},
		{"property name", put(first+16, 1<<20), "property name"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.b)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse = %v; want %v about %q", tt.name, err, ErrInvalid, tt.want)
		}
	}
}

// What is written reads back in dtc, the reference, and dtc's output here.
func TestDTC(t *testing.T) {
	dtc, err := exec.LookPath("dtc")
	if err != nil {
		if os.Getenv("GOKEXEC_VM_REQUIRED") == "1" {
			t.Fatal("dtc is not installed (Debian: device-tree-compiler)")
		}
		t.Skip("SKIPPED, NOT TESTED: dtc is not installed (Debian: device-tree-compiler)")
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "in.dtb")
	if err := os.WriteFile(in, encode(t, sample()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command(dtc, append([]string{"-q"}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("dtc %v: %v", args, err)
		}
		return out
	}
	source := string(run("-I", "dtb", "-O", "dts", in))
	for _, want := range []string{"/memreserve/\t0x0000000048000000 0x0000000000001000;", "reg = <0x00 0x40000000 0x00 0x40000000>;",
		`bootargs = "console=ttyAMA0";`, "odd = [ff 80 01 02 03];", "empty;"} {
		if !strings.Contains(source, want) {
			t.Errorf("dtc reads\n%s\nwant %q in it", source, want)
		}
	}
	for _, version := range []string{"16", "17"} {
		got, err := Parse(run("-I", "dtb", "-O", "dtb", "-V", version, "-b", "3", in))
		if err != nil || !reflect.DeepEqual(got, sample()) {
			t.Errorf("dtc's version %s parses as %+v, %v; want %+v", version, got, err, sample())
		}
	}
}

func TestReadDirectory(t *testing.T) {
	root := fstest.MapFS{
		"base/name":                 {Data: []byte("\x00")},
		"base/compatible":           {Data: []byte("x\x00")},
		"base/chosen/name":          {Data: []byte("chosen\x00")},
		"base/chosen/bootargs":      {Data: []byte("quiet\x00")},
		"base/memory@40000000/reg":  {Data: []byte{1, 2, 3, 4}},
		"base/memory@40000000/name": {Data: []byte("memory\x00")},
	}
	got, err := ReadDirectory(root, "base")
	want := &Tree{Root: &Node{Properties: []Property{{"compatible", []byte("x\x00")}}, Children: []*Node{
		{Name: "chosen", Properties: []Property{{"bootargs", []byte("quiet\x00")}}},
		{Name: "memory@40000000", Properties: []Property{{"reg", []byte{1, 2, 3, 4}}}},
	}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ReadDirectory = %+v, %v; want %+v", got, err, want)
	}
	root["base/large"] = &fstest.MapFile{Data: make([]byte, maxDirectory)}
	if _, err := ReadDirectory(root, "base"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a tree too large: %v; want %v", err, ErrInvalid)
	}
}

// Whatever Parse takes, AppendBinary writes, and it reads back the same; and
// writing that again gives the same bytes.
func FuzzParse(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add(encode(f, &Tree{Root: &Node{}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("Parse = %v; want it to wrap %v", err, ErrInvalid)
			}
			return
		}
		once, err := tree.AppendBinary(nil)
		if err != nil {
			t.Fatalf("AppendBinary of what Parse took: %v", err)
		}
		again, err := Parse(once)
		if err != nil || !reflect.DeepEqual(again, tree) {
			t.Fatalf("the tree reads back as %+v, %v; want %+v", again, err, tree)
		}
		if twice := encode(t, again); !bytes.Equal(once, twice) {
			t.Errorf("written twice: %x; want %x", twice, once)
		}
	})
}
