package bootimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	bannerPrefix   = "Linux version "       // how linux_banner (init/version.c) begins
	maxBanner      = len(bannerPrefix) + 88 // the longest that is looked for
	bannerChunk    = 64 << 10               // bytes that are read at once
	maxBannerReach = 512 << 20              // bytes that are searched
)

// Release returns the kernel release (uname -r), which names the directory of
// its modules: from the section .uname of a UKI, the kernel_version of a
// bzImage, or else from the kernel's banner, for which the image is read. It
// is "" when the image does not tell: a 32-bit ARM zImage is compressed inside.
func (img *Image) Release() (string, error) {
	switch {
	case img.UKI != nil && img.UKI.Uname != "":
		return checkRelease(img.UKI.Uname)
	case img.BzImage != nil:
		release, _, _ := strings.Cut(img.BzImage.KernelVersion, " ")
		return checkRelease(release)
	case img.ARM != nil:
		return "", nil
	}
	areas := []ELFLoad{{FileSize: uint64(img.src.size)}}
	if img.ELF != nil {
		areas = img.ELF.Loads // not the debugging information behind them
	}
	left := int64(maxBannerReach)
	for _, a := range areas {
		n := min(int64(a.FileSize), left)
		release, err := findBanner(io.NewSectionReader(img.src.r, int64(a.Offset), n))
		if err != nil {
			return "", fmt.Errorf("%s: search for the kernel release: %w", img.Format, err)
		}
		if release != "" {
			return checkRelease(release)
		}
		left -= n
	}
	return "", nil
}

// checkRelease refuses what is no name of a directory: it comes from a file and
// becomes part of a path.
func checkRelease(s string) (string, error) {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }
	if s == "." || s == ".." || strings.ContainsFunc(s, odd) {
		return "", fmt.Errorf("kernel release %q cannot be the name of a directory", s)
	}
	return s, nil
}

// findBanner returns the release in the first banner in r, "" when there is
// none.
func findBanner(r io.Reader) (string, error) {
	buf := make([]byte, 0, bannerChunk)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for b := buf; ; b = b[1:] {
			i := bytes.Index(b, []byte(bannerPrefix))
			if i < 0 {
				break
			}
			b = b[i:]
			if release := bannerRelease(b[len(bannerPrefix):min(len(b), maxBanner)]); release != "" {
				return release, nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		// A banner may begin in the end of this chunk.
		buf = buf[:copy(buf, buf[max(0, len(buf)-maxBanner):])]
	}
}

// bannerRelease returns the release at the beginning of b, "" for none: VERSION.PATCHLEVEL with up to
// 63 more characters, and a bracket behind it, which keeps out format strings and messages that
// merely begin alike.
func bannerRelease(b []byte) string {
	release, rest, ok := bytes.Cut(b, []byte(" "))
	if !ok || len(rest) == 0 || rest[0] != '(' {
		return ""
	}
	major, rest, ok := bytes.Cut(release, []byte("."))
	more := bytes.TrimLeft(rest, digits)
	if !ok || len(major) == 0 || len(bytes.TrimLeft(major, digits)) > 0 || len(more) == len(rest) || len(more) > 63 {
		return ""
	}
	for _, c := range more {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return string(release)
}

const digits = "0123456789"
