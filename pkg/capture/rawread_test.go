package capture

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"testing"
)

func TestFindInTar(t *testing.T) {
	type entry struct{ name, content string }
	build := func(format tar.Format, entries ...entry) []byte {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, e := range entries {
			if err := w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.content)), Mode: 0o644, Format: format}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(e.content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	long := "2026/" + string(bytes.Repeat([]byte("x/"), 200))
	log, whole, part := entry{"dmesg.txt", "log"}, entry{"vmcore", "whole"}, entry{"vmcore.incomplete", "part"}
	sound := build(tar.FormatGNU, log, part)
	tests := []struct {
		name       string
		in         []byte
		want       string
		incomplete bool
		wantErr    error
	}{
		{"ours", build(tar.FormatGNU, log, whole), "whole", false, nil},
		{"incomplete", sound, "part", true, nil},
		{"whole one preferred", build(tar.FormatGNU, part, whole), "whole", false, nil},
		{"first one", build(tar.FormatUSTAR, whole, entry{"x/vmcore", "second"}), "whole", false, nil},
		{"in a directory, GNU long name", build(tar.FormatGNU, log, entry{long + "vmcore", "deep"}), "deep", false, nil},
		{"in a directory, PAX", build(tar.FormatPAX, log, entry{long + "vmcore", "deep"}), "deep", false, nil},
		{"none", build(tar.FormatGNU, log), "", false, ErrNoDump},
		{"empty", nil, "", false, ErrNoDump},
		{"blank", make([]byte, 4096), "", false, ErrNoDump},
		{"text", []byte(fmt.Sprintf("%01000d", 7)), "", false, ErrNoDump},
		{"cut in the dump", build(tar.FormatGNU, whole)[:tarBlock+2], "wh", true, nil},
		{"junk behind", append(sound[:len(sound)-1024:len(sound)-1024], bytes.Repeat([]byte("junk"), 1000)...), "part", true, nil},
	}
	for _, tt := range tests {
		d, err := FindInTar(bytes.NewReader(tt.in), int64(len(tt.in)))
		if tt.wantErr != nil {
			if !errors.Is(err, tt.wantErr) {
				t.Errorf("%s: FindInTar: %v; want %v", tt.name, err, tt.wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: FindInTar: %v", tt.name, err)
			continue
		}
		got, err := io.ReadAll(d)
		if err != nil || string(got) != tt.want || d.Incomplete != tt.incomplete {
			t.Errorf("%s: FindInTar = %q, incomplete %v, %v; want %q, %v", tt.name, got, d.Incomplete, err, tt.want, tt.incomplete)
		}
	}
}

// FuzzFindInTar: in a stream of any entries the dump is found with its contents;
// in any bytes, what is found is what archive/tar reads for that entry.
func FuzzFindInTar(f *testing.F) {
	f.Add([]byte("dmesg"), []byte("memory"), uint8(0), "a/b", []byte(nil))
	f.Add([]byte(""), make([]byte, 600), uint8(7), "", []byte("x"))
	header, _ := tarHeader(VMCoreName, 100, testCrashTime)
	f.Add([]byte("x"), []byte("y"), uint8(3), "ü", append(header, make([]byte, 1000)...))
	f.Fuzz(func(t *testing.T, log, content []byte, kind uint8, dir string, junk []byte) {
		formats := []tar.Format{tar.FormatGNU, tar.FormatPAX, tar.FormatUSTAR}
		name := VMCoreName
		if kind&1 != 0 {
			name = IncompleteName
		}
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		built := true
		for _, e := range []struct {
			name string
			data []byte
		}{{"log", log}, {path.Join(dir, name), content}} {
			err := w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o600, Format: formats[int(kind>>1)%3]})
			if built = built && err == nil; built {
				_, _ = w.Write(e.data)
			}
		}
		if built && w.Flush() == nil {
			// Only a complete dump is sure to be taken before the junk.
			stream := append(buf.Bytes(), make([]byte, 2*tarBlock)...)
			stream = append(stream, junk...)
			d, err := FindInTar(bytes.NewReader(stream), int64(len(stream)))
			if err != nil {
				t.Fatalf("FindInTar of a good stream: %v", err)
			}
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) || d.Incomplete != (name != VMCoreName) {
				t.Errorf("FindInTar = %d bytes, incomplete %v, %v; want %d", len(got), d.Incomplete, err, len(content))
			}
		}
		d, err := FindInTar(bytes.NewReader(junk), int64(len(junk)))
		if err != nil {
			if !errors.Is(err, ErrNoDump) {
				t.Errorf("FindInTar: %v; want ErrNoDump", err)
			}
			return
		}
		if d.Offset < 0 || d.Size() < 0 || d.Offset+d.Size() > int64(len(junk)) {
			t.Fatalf("FindInTar = offset %d, size %d in %d bytes", d.Offset, d.Size(), len(junk))
		}
		r := tar.NewReader(bytes.NewReader(junk))
		for {
			h, err := r.Next()
			if err != nil {
				t.Fatalf("archive/tar doesn't find %q: %v", d.Name, err)
			}
			if h.Name != d.Name || h.Typeflag != tar.TypeReg {
				continue
			}
			want, _ := io.ReadAll(r)
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, want) {
				t.Errorf("FindInTar = %q, %v; archive/tar has %q", got, err, want)
			}
			return
		}
	})
}
