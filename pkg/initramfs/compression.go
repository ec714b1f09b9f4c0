package initramfs

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// ErrCompression is wrapped by errors about a compression that the kernel
// can't unpack.
var ErrCompression = errors.New("compression not supported by this kernel")

// Compression is how the archive is compressed.
type Compression string

// The compressions that Build writes. All kernels can unpack None, and those
// of distributions Gzip.
const (
	Auto Compression = "auto" // the best the kernel's configuration allows; gzip if that is not known
	None Compression = "none"
	Gzip Compression = "gzip"
	XZ   Compression = "xz"   // smallest, slowest to unpack
	Zstd Compression = "zstd" // Linux 5.9 and later
	LZ4  Compression = "lz4"  // legacy frames; fastest to unpack
)

// ParseCompression reads the name of a compression; "" is Auto.
func ParseCompression(s string) (Compression, error) {
	switch c := Compression(s); c {
	case "":
		return Auto, nil
	case Auto, None, Gzip, XZ, Zstd, LZ4:
		return c, nil
	}
	return "", fmt.Errorf("compression %q: want auto, none, gzip, xz, zstd or lz4", s)
}

// option is a kernel's configuration option (usr/Kconfig).
type option struct {
	compression Compression
	option      string
}

// options are in the order in which Auto tries them: fast, the time to build counts more than the size.
func options(fast bool) []option {
	if fast {
		return []option{{Zstd, "RD_ZSTD"}, {LZ4, "RD_LZ4"}, {Gzip, "RD_GZIP"}, {XZ, "RD_XZ"}}
	}
	return []option{{Zstd, "RD_ZSTD"}, {XZ, "RD_XZ"}, {Gzip, "RD_GZIP"}, {LZ4, "RD_LZ4"}}
}

// choose turns Auto into a compression and checks any other against the
// kernel's configuration, which is nil if it is not known.
func choose(c Compression, config kconfig.Config, fast bool) (Compression, error) {
	if c == "" {
		c = Auto
	}
	if config == nil {
		if c == Auto {
			return Gzip, nil
		}
		return c, nil
	}
	allowed := []string{string(None)}
	for _, o := range options(fast) {
		if !config.BuiltIn(o.option) {
			continue
		}
		if c == Auto || c == o.compression {
			return o.compression, nil
		}
		allowed = append(allowed, string(o.compression))
	}
	if c == Auto || c == None {
		return None, nil
	}
	return "", fmt.Errorf("%s: %w: it takes %s", c, ErrCompression, strings.Join(allowed, ", "))
}

// window is the size in bytes of the history that the kernel must keep while
// it unpacks, for zstd and xz. It is taken from the little memory of the
// capture kernel, on top of the archive and its contents.
const window = 1 << 20

// compressor returns a writer that compresses to w; closing it does not close
// w. All of them use one thread: the result must not depend on the machine. With fast, zstd takes a
// tenth of the time for an archive that is 4 % larger.
func compressor(w io.Writer, c Compression, fast bool) (io.WriteCloser, error) {
	level := struct {
		gzip int
		zstd zstd.EncoderLevel
		lz4  lz4.CompressionLevel
	}{gzip.BestCompression, zstd.SpeedBestCompression, lz4.Level9}
	if fast {
		level.gzip, level.zstd, level.lz4 = gzip.DefaultCompression, zstd.SpeedDefault, lz4.Fast
	}
	switch c {
	case None:
		return nopCloser{w}, nil
	case Gzip:
		return gzip.NewWriterLevel(w, level.gzip)
	case XZ:
		// The kernel's decoder knows no other check than CRC32
		// (Documentation/staging/xz.rst).
		return xz.WriterConfig{CheckSum: xz.CRC32, DictCap: window}.NewWriter(w)
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(level.zstd),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	case LZ4:
		// lib/decompress_unlz4.c reads legacy frames only.
		z := lz4.NewWriter(w)
		if err := z.Apply(lz4.LegacyOption(true), lz4.CompressionLevelOption(level.lz4), lz4.ConcurrencyOption(1)); err != nil {
			return nil, err
		}
		return z, nil
	}
	return nil, fmt.Errorf("compression %q: unknown", c)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
