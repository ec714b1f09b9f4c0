package bootimage

import (
	"bytes"
	"errors"
	"fmt"
)

// looks are magic numbers of what is given for a kernel by mistake.
var looks = []struct {
	offset int
	magic  string
	what   string
}{
	{0, "#!", "a script"},
	{0, "070701", "a cpio archive (an initramfs)"},
	{0, "070702", "a cpio archive (an initramfs)"},
	{0, "070707", "a cpio archive (an initramfs)"},
	{0, "\xc7\x71", "a cpio archive (an initramfs)"},
	{0, "\xd0\x0d\xfe\xed", "a device tree blob or a U-Boot FIT image"},
	{0, "KDUMP   ", "a kdump-compressed core"},
	{0, "makedumpfile\x00", "a flattened core of makedumpfile"},
	{0, "hsqs", "a squashfs file system"},
	{0, "!<arch>\n", "an ar archive or Debian package"},
	{0, "ANDROID!", "an Android boot image"},
	{0, "PK\x03\x04", "a zip archive"},
	{0, "version https://git-lfs", "a Git LFS pointer"},
	{257, "ustar", "a tar archive"},
	{0x1fe, "\x55\xaa", "a boot sector or a disk image"},
}

// describe returns the error for a file that is no kernel: what it looks like.
func describe(src source, h []byte, pe *peFile, peErr error) error {
	switch {
	case src.size == 0:
		return fmt.Errorf("%w: the file is empty", ErrNotKernel)
	case pe != nil:
		return fmt.Errorf("%w: a PE program (EFI application) without a .linux section", ErrNotKernel)
	case peErr != nil && errors.Is(peErr, ErrTruncated):
		return fmt.Errorf("%w: it begins like a PE program, but %w", ErrNotKernel, peErr)
	}
	for _, l := range looks {
		if len(h) >= l.offset+len(l.magic) && string(h[l.offset:l.offset+len(l.magic)]) == l.magic {
			return fmt.Errorf("%w: %s", ErrNotKernel, l.what)
		}
	}
	switch {
	case isText(h):
		return fmt.Errorf("%w: a text file", ErrNotKernel)
	case len(bytes.Trim(h, "\x00")) == 0:
		return fmt.Errorf("%w: it begins with %d zero bytes", ErrNotKernel, len(h))
	}
	return fmt.Errorf("%w: unknown data, it begins with % x (an s390 image is taken only with its mark %s at %#x)",
		ErrNotKernel, h[:min(len(h), 8)], s390Magic, s390MagicAt)
}

// isText reports that h is ASCII text without control characters.
func isText(h []byte) bool {
	if len(h) > 512 {
		h = h[:512]
	}
	for _, c := range h {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' || c >= 0x7f {
			return false
		}
	}
	return true
}
