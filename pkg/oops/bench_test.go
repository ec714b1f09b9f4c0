package oops

import (
	"io"
	"os"
	"strings"
	"testing"
)

// BenchmarkRead reads a log of 16 MB, the largest that kernels keep, with the crash at its end.
func BenchmarkRead(b *testing.B) {
	text, err := os.ReadFile("testdata/trixie-cloud-null.log")
	if err != nil {
		b.Fatal(err)
	}
	noise := strings.Repeat("[   12.345678] quux 0000:00:1f.2: link is up at 1000 Mbit/s, full duplex\n", (16<<20)/73)
	b.SetBytes(int64(len(noise) + len(text)))
	b.ReportAllocs()
	for b.Loop() {
		o, err := Read(io.MultiReader(strings.NewReader(noise), strings.NewReader(string(text))))
		if err != nil || o.Kind != NullDereference {
			b.Fatalf("Read = %+v, %v", o, err)
		}
	}
}
