package bootimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// linuxBanner is how linux_banner (init/version.c) begins. The bracket keeps
// out format strings and messages that merely begin alike.
var linuxBanner = sync.OnceValue(func() *regexp.Regexp {
	// Not at start: gokexec hotplug starts once per event.
	return regexp.MustCompile(`Linux version ([0-9]+\.[0-9]+[!-~]{0,63}) \(`)
})

const (
	bannerPrefix   = "Linux version "
	maxBanner      = len(bannerPrefix) + 72 // the longest match
	bannerChunk    = 1 << 20
	maxBannerReach = 512 << 20 // bytes that are searched
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
		// Look for the fixed part first: regexp is slow.
		for b := buf; ; b = b[1:] {
			i := bytes.Index(b, []byte(bannerPrefix))
			if i < 0 {
				break
			}
			b = b[i:]
			if m := linuxBanner().FindSubmatchIndex(b[:min(len(b), maxBanner+16)]); m != nil && m[0] == 0 {
				return string(b[m[2]:m[3]]), nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		// A banner may begin in the end of this chunk.
		buf = buf[:copy(buf, buf[max(0, len(buf)-maxBanner-16):])]
	}
}
