package decompress

import (
	"bytes"
	"io"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// Stream finds each codec by itself, and stops right behind the stream.
func TestStream(t *testing.T) {
	want := bytes.Repeat([]byte("some text, and more of it; "), 10000)
	for codec, name := range map[string]string{"gzip": "gzip", "zstd": "zstd", "lz4-legacy": "lz4", "lzma": "lzma", "lzo": "lzo"} {
		packed := imagetest.Compress(t, codec, want)
		rest := make([]byte, 9)
		br := NewReader(bytes.NewReader(append(packed, rest...)))
		r, got, err := Stream(br)
		if err != nil || got != name {
			t.Errorf("Stream(%s) = %q, %v", codec, got, err)
			continue
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, want) {
			t.Errorf("Stream(%s) gives %d bytes, %v; want %d", codec, len(b), err, len(want))
		}
		if b, err := io.ReadAll(br); err != nil || !bytes.Equal(b, rest) {
			t.Errorf("%s: %d bytes are left, %v; want %d", codec, len(b), err, len(rest))
		}
		if r, _, err := Stream(NewReader(bytes.NewReader(packed[:len(packed)/2]))); err == nil {
			if b, err := io.ReadAll(r); err == nil {
				t.Errorf("Stream(half of %s) gives %d bytes and no error", codec, len(b))
			}
		}
	}
	for _, plain := range []string{"", "x", "070701, not compressed", "\x04\x22\x4d\x18 a frame that the kernel does not know"} {
		if r, name, err := Stream(NewReader(bytes.NewReader([]byte(plain)))); r != nil || err != nil || name != "" {
			t.Errorf("Stream(%q) = %q, %v", plain, name, err)
		}
	}
}
