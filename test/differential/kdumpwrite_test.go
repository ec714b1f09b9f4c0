package differential

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// leftOut leaves out what makedumpfile -d 30 does of linuxImage.
type leftOut struct{ data uint64 }

func (l leftOut) Filter(_ context.Context, first uint64, keep []uint64) error {
	for i := range 64 * uint64(len(keep)) {
		if l.excludes(first + i) {
			keep[i/64] &^= 1 << (i % 64)
		}
	}
	return nil
}

func (l leftOut) excludes(pfn uint64) bool {
	return pfn >= l.data && (pfn >= freePages && pfn%2 == 1 || pfn%4 == 3)
}

// createFiles makes files to write to, and returns their names, too.
func createFiles(t *testing.T, n int) (files []io.WriterAt, names []string) {
	t.Helper()
	for range n {
		f, err := os.CreateTemp(t.TempDir(), "dump")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files, names = append(files, f), append(names, f.Name())
	}
	return files, names
}

// The real makedumpfile reads what is written: it prints the log, filters the dump to the same file as it makes of the source,
// puts the flattened stream in order, and joins the parts of a split one.
func TestMakedumpfileReads(t *testing.T) {
	path, err := exec.LookPath("makedumpfile")
	if err != nil {
		skip(t, err.Error())
	}
	core := linuxImage()
	name := writeFile(t, core.Bytes())
	source := openDump(t, core.Bytes())
	filter := leftOut{core.Loads[1].Phys >> 12}
	wantLog := string(runMakedumpfile(t, path, []string{"--dump-dmesg"}, name, "log")[0])
	want := withoutTime(runMakedumpfile(t, path, []string{"-c", "-d", "31"}, name, "dump")[0])
	features, _ := exec.Command(path, "-v").CombinedOutput()
	ctx := context.Background()
	for _, codec := range []kdumpfile.Codec{kdumpfile.CodecNone, kdumpfile.CodecZlib, kdumpfile.CodecLZO, kdumpfile.CodecSnappy, kdumpfile.CodecZstd} {
		for _, opt := range []kdumpfile.WriteOptions{{Codec: codec}, {Codec: codec, OmitZero: true, Filter: filter, DumpLevel: 31, Workers: 3}} {
			t.Run(fmt.Sprint(codec, " level ", opt.DumpLevel), func(t *testing.T) {
				if bytes.Contains(features, []byte(codec.String()+"\tdisabled")) {
					t.Skip("this makedumpfile is built without the codec")
				}
				files, names := createFiles(t, 1)
				if _, err := kdumpfile.WriteCompressed(ctx, files[0], source, opt); err != nil {
					t.Fatal(err)
				}
				if got := string(runMakedumpfile(t, path, []string{"--dump-dmesg"}, names[0], "log")[0]); got != wantLog {
					t.Errorf("makedumpfile finds another log:\n%.300s\n%.300s", got, wantLog)
				}
				if got := withoutTime(runMakedumpfile(t, path, []string{"-c", "-d", "31"}, names[0], "dump")[0]); !bytes.Equal(got, want) {
					t.Errorf("makedumpfile makes %d bytes of it; of the source %d", len(got), len(want))
				}
			})
		}
	}
	opt := kdumpfile.WriteOptions{Codec: kdumpfile.CodecZlib, OmitZero: true, Filter: filter, DumpLevel: 31}
	t.Run("flattened", func(t *testing.T) {
		var stream bytes.Buffer
		flat, err := kdumpfile.NewFlattener(&stream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kdumpfile.WriteCompressed(ctx, flat, source, opt); err != nil {
			t.Fatal(err)
		}
		if err := flat.Close(); err != nil {
			t.Fatal(err)
		}
		checkReordered(t, func(args ...string) *exec.Cmd { return exec.Command(path, args...) }, stream.Bytes())
	})
	t.Run("split", func(t *testing.T) {
		files, names := createFiles(t, 3)
		if _, err := kdumpfile.WriteSplit(ctx, files, source, opt); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "joined")
		cmd := exec.Command(path, slices.Concat([]string{"--reassemble"}, names, []string{out})...)
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, msg)
		}
		joined, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		d := openDump(t, joined)
		checkPages(t, d, core, filter.excludes)
		if got := dumptest.LogText(t, d); d.Incomplete() || got != dumptest.LogText(t, source) {
			t.Errorf("Incomplete() = %v; the log = %.300s", d.Incomplete(), got)
		}
	})
	t.Run("ELF", func(t *testing.T) {
		opt := opt
		opt.OmitZero = false // makedumpfile takes all holes as left out
		files, names := createFiles(t, 1)
		if _, err := kdumpfile.WriteELF(ctx, files[0], source, opt); err != nil {
			t.Fatal(err)
		}
		if got := string(runMakedumpfile(t, path, []string{"--dump-dmesg"}, names[0], "log")[0]); got != wantLog {
			t.Errorf("makedumpfile finds another log:\n%.300s\n%.300s", got, wantLog)
		}
		checkPages(t, openDump(t, runMakedumpfile(t, path, []string{"-c", "-d", "30"}, names[0], "dump")[0]), core, filter.excludes)
	})
}

// withoutTime is a compressed dump of x86_64 without the time when it was written.
func withoutTime(b []byte) []byte {
	clear(b[408:424])
	return b
}
