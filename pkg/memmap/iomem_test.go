package memmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// fixtures are files in the format of /proc/iomem, by name.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/iomem/*")
	if err != nil || len(names) < 10 {
		t.Fatalf("found %d fixtures, error %v", len(names), err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if files[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func parse(t testing.TB, text []byte) *Iomem {
	t.Helper()
	m, err := ParseIomem(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestIomemPrintsBack(t *testing.T) {
	for name, text := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			n, err := parse(t, text).WriteTo(&b)
			if err != nil || n != int64(len(text)) || !bytes.Equal(b.Bytes(), text) {
				t.Errorf("WriteTo = %d, %v, text\n%s\nwant\n%s", n, err, b.Bytes(), text)
			}
		})
	}
}

func TestIomemRanges(t *testing.T) {
	tests := []struct {
		fixture          string
		ram, boot, crash []Range
	}{
		{
			"x86-q35-dimm",
			[]Range{{0x1000, 0x9fc00}, {0x100000, 0x1ffdd000}, {0x100000000, 0x180000000}, {0x1c0000000, 0x1d0000000}},
			[]Range{{0x1000, 0x9fc00}, {0x100000, 0x1ffdd000}, {0x100000000, 0x180000000}, {0x1c0000000, 0x1d0000000}},
			[]Range{{0x13000000, 0x1b000000}},
		},
		{
			"x86-kmem-cxl-virtio",
			[]Range{{0x1000, 0xa0000}, {0x100000, 0x7ffdd000}, {0x100000000, 0x2c8000000}, {0x2d0000000, 0x2f0000000}, {0x4c0000000, 0x6c0000000}},
			[]Range{{0x1000, 0xa0000}, {0x100000, 0x7ffdd000}, {0x100000000, 0x280000000}, {0x5c0000000, 0x6c0000000}},
			[]Range{{0x6f000000, 0x7f000000}},
		},
		{
			"arm64-efi-server",
			[]Range{{0x90000000, 0x92000000}, {0x92900000, 0xfffc0000}, {0x880000000, 0x1000000000}, {0x8800000000, 0x97fffe0000}},
			[]Range{{0x90000000, 0x92000000}, {0x92900000, 0xfffc0000}, {0x880000000, 0x1000000000}, {0x8800000000, 0x97fffe0000}},
			[]Range{{0xd0000000, 0xd8000000}, {0xf47000000, 0xfe7000000}},
		},
		{
			"arm32-lpae",
			[]Range{{0x80000000, 0xa0000000}, {0x880000000, 0x900000000}},
			[]Range{{0x80000000, 0xa0000000}, {0x880000000, 0x900000000}},
			[]Range{{0x8c0000000, 0x8c4000000}},
		},
		{
			"s390x-lpar",
			[]Range{{0, 0xc0000000}, {0x100000000000, 0x100100000000}},
			[]Range{{0, 0xc0000000}},
			[]Range{{0x70000000, 0x80000000}},
		},
		{"names", nil, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.fixture, func(t *testing.T) {
			m := parse(t, fixtures(t)[tt.fixture])
			if got := m.SystemRAM().Ranges(); !slices.Equal(got, tt.ram) {
				t.Errorf("SystemRAM() = %v; want %v", got, tt.ram)
			}
			if got := m.BootRAM().Ranges(); !slices.Equal(got, tt.boot) {
				t.Errorf("BootRAM() = %v; want %v", got, tt.boot)
			}
			if got := m.CrashKernel(); !slices.Equal(got, tt.crash) {
				t.Errorf("CrashKernel() = %v; want %v", got, tt.crash)
			}
		})
	}
}

func TestIomemTree(t *testing.T) {
	m := parse(t, []byte("00000000-0fffffff : a : b\n  00001000-00001fff : c\n    00001000-00001000 : d\n  00002000-00002fff : e\n10000000-1fffffff : c\n"))
	var got []string
	for depth, r := range m.Walk() {
		got = append(got, fmt.Sprintf("%d %s %v %d", depth, r.Name, r.Range(), len(r.Children)))
	}
	want := []string{
		"0 a : b [0x0-0x10000000) 2",
		"1 c [0x1000-0x2000) 1",
		"2 d [0x1000-0x1001) 0",
		"1 e [0x2000-0x3000) 0",
		"0 c [0x10000000-0x20000000) 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Walk() = %q; want %q", got, want)
	}
	if got := m.Named("c"); len(got) != 2 || got[0].Start != 0x1000 || got[1].Start != 0x10000000 {
		t.Errorf("Named(c) = %v; want two", got)
	}
	for range m.Walk() {
		break // must not go on
	}
}

func TestParseIomemErrors(t *testing.T) {
	tests := []struct{ name, input, wantErr string }{
		{"no newline", "00000000-00000fff : Reserved", "line 1: ends without a newline"},
		{"no name", "00000000-00000fff\n", `no " : " after the last address`},
		{"half a separator", "00000000-00000fff :\n", `no " : " after the last address`},
		{"no dash", "00000000 00000fff : x\n", `no "-" after the first`},
		{"short", "0000000-00000fff : x\n", "first address has 7 hexadecimal digits"},
		{"needless zero", "000000000-00000fff : x\n", "leading zero"},
		{"width changes", "00000000-00000fff : x\n0000-0fff : x\n", "line 2: first address has 4"},
		{"ports too wide", "0000-0fff : x\n10000-10fff : x\n", ""},
		{"upper case", "00000000-00000FFF : x\n", "last address has 5 hex"},
		{"too long", "10000000000000000-1ffffffffffffffff : x\n", "more than 16 digits"},
		{"odd indent", "00000000-00000fff : x\n 00000000-00000fff : y\n", "line 2: indented by 1"},
		{"jump", "00000000-00000fff : x\n    00000000-00000fff : y\n", "line 2: at depth 2, after a line at depth 0"},
		{"first indented", "  00000000-00000fff : x\n", "line 1: at depth 1"},
		{"tab", "\t00000000-00000fff : x\n", "line 1: first address has 0"},
		{"backwards", "00001000-00000fff : x\n", "0xfff is below the first, 0x1000"},
		{"blank line", "00000000-00000fff : x\n\n", "line 2: first address has 0"},
		{"too deep", nested(70), "line 65: nested deeper than 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseIomem(strings.NewReader(tt.input))
			if tt.wantErr == "" {
				if err != nil {
					t.Errorf("ParseIomem(%q) = %v; want no error", tt.input, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("ParseIomem(%q) = %v; want %q", tt.input, err, tt.wantErr)
			}
		})
	}
}

func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "%*s00000000-00000fff : x\n", 2*i, "")
	}
	return b.String()
}

func TestAppendTextErrors(t *testing.T) {
	for _, r := range []*Resource{{Name: "a\nb"}, {Start: 2, Last: 1}} {
		m := &Iomem{Resources: []*Resource{r}}
		if b, err := m.AppendText(nil); err == nil {
			t.Errorf("AppendText of %+v = %q; want an error", r, b)
		}
	}
}

// changing is a file system whose proc/iomem is another one each time it is
// opened, until the texts run out.
type changing struct{ texts *[]string }

func (c changing) Open(name string) (fs.File, error) {
	if name != iomemPath {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	text := (*c.texts)[0]
	if len(*c.texts) > 1 {
		*c.texts = (*c.texts)[1:]
	}
	return fstest.MapFS{name: &fstest.MapFile{Data: []byte(text)}}.Open(name)
}

func TestReadIomem(t *testing.T) {
	const a, b, torn = "00000000-00000fff : a\n", "00000000-00000fff : b\n", "00000000-0000"
	var always []string
	for i := range 64 {
		always = append(always, fmt.Sprintf("00000000-%08x : x\n", i))
	}
	tests := []struct {
		name    string
		texts   []string
		want    string
		wantErr error
	}{
		{"stable", []string{a}, a, nil},
		{"changes once", []string{a, b}, b, nil},
		{"torn once", []string{torn, a, a, b}, a, nil},
		{"hidden", []string{string(fixtures(t)["hidden"])}, "", ErrAddressesHidden},
		{"never the same", always, "", ErrChanging},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ReadIomem(changing{&tt.texts})
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("ReadIomem() error = %v; want %v", err, tt.wantErr)
			}
			if tt.wantErr != nil {
				return
			}
			if got, err := m.AppendText(nil); string(got) != tt.want || err != nil {
				t.Errorf("ReadIomem() = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestReadIomemFiles(t *testing.T) {
	if _, err := ReadIomem(os.DirFS(t.TempDir())); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), " /proc/iomem") {
		t.Errorf("ReadIomem of an empty directory = %v; want one that names /proc/iomem", err)
	}
	for _, text := range []string{"", "x\n"} {
		root := fstest.MapFS{"proc/iomem": {Data: []byte(text)}}
		if m, err := ReadIomem(root); err == nil || !strings.HasPrefix(err.Error(), "/proc/iomem: ") {
			t.Errorf("ReadIomem of %q = %v, %v; want an error that names /proc/iomem", text, m, err)
		}
	}
}

func TestParseIomemSizeLimit(t *testing.T) {
	line := strings.NewReader("00000000-00000fff : " + strings.Repeat("x", 1000) + "\n")
	endless := io.MultiReader(line, zeros{})
	if _, err := ParseIomem(endless); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("ParseIomem of endless input = %v; want an error", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func FuzzParseIomem(f *testing.F) {
	for _, text := range fixtures(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseIomem(bytes.NewReader(text))
		if err != nil {
			return
		}
		got, err := m.AppendText(nil)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("parsed and printed: %q, %v; want %q", got, err, text)
		}
		if ram, boot := m.SystemRAM(), m.BootRAM(); !boot.Minus(ram).Empty() {
			t.Errorf("BootRAM() = %v is not within SystemRAM() = %v", boot, ram)
		}
	})
}

// manyRanges prints an iomem of n ranges of RAM, each with a child.
func manyRanges(n int) []byte {
	var b bytes.Buffer
	for i := range uint64(n) {
		start := 0x100000000 + i<<28
		fmt.Fprintf(&b, "%08x-%08x : System RAM\n  %08x-%08x : reserved\n", start, start+1<<27-1, start, start+0xfff)
	}
	return b.Bytes()
}

func BenchmarkParseIomem(b *testing.B) {
	for _, n := range []int{16, 256, 2048, 8192, 32768} {
		text := manyRanges(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				m := parse(b, text)
				if got := m.SystemRAM().Minus(NewSet(Range{0, 1 << 33})); got.Len() == n {
					b.Fatal("nothing was taken out")
				}
			}
		})
	}
}

// On powerpc the crash memory is in the device tree alone.
func TestReadIomemTree(t *testing.T) {
	const sys, proc = "sys/firmware/devicetree/base/chosen/linux,crashkernel-", "proc/device-tree/chosen/linux,crashkernel-"
	word := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	iomem := string(fixtures(t)["ppc64le-pseries"])
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []Range
		fails bool
	}{
		{"none", nil, nil, false},
		{"64 bits", map[string]string{sys + "base": word(0x10000000), sys + "size": word(0x20000000)}, []Range{{0x10000000, 0x30000000}}, false},
		{"32 bits", map[string]string{sys + "base": "\x10\x00\x00\x00", sys + "size": "\x00\x20\x00\x00"}, []Range{{0x10000000, 0x10200000}}, false},
		{"by /proc", map[string]string{proc + "base": word(0x10000000), proc + "size": word(0x20000000)}, []Range{{0x10000000, 0x30000000}}, false},
		{"no size", map[string]string{sys + "base": word(0x10000000)}, nil, false},
		{"size 0", map[string]string{sys + "base": word(0), sys + "size": word(0)}, nil, false},
		{"odd size", map[string]string{sys + "base": word(0), sys + "size": "abc"}, nil, true},
		{"too long", map[string]string{sys + "base": strings.Repeat("x", 100), sys + "size": word(1)}, nil, true},
		{"beyond 64 bits", map[string]string{sys + "base": word(math.MaxUint64), sys + "size": word(math.MaxUint64)}, nil, true},
		{"listed wins", map[string]string{iomemPath: "00000000-3fffffff : System RAM\n  10000000-1fffffff : Crash kernel\n", sys + "base": word(0x30000000), sys + "size": word(0x100000)}, []Range{{0x10000000, 0x20000000}}, false},
	} {
		root := fstest.MapFS{iomemPath: {Data: []byte(iomem)}}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		m, err := ReadIomem(root)
		if (err != nil) != tt.fails || err == nil && !slices.Equal(m.CrashKernel(), tt.want) {
			t.Errorf("%s: ReadIomem = %+v, %v; want %v, an error: %t", tt.name, m, err, tt.want, tt.fails)
		}
	}
}
