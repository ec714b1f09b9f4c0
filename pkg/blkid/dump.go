package blkid

import (
	"archive/tar"
	"bytes"
	"slices"
)

// dumpNames are the entries that a dump on a raw device may begin with
// (pkg/capture), and the comment in front of an aligned one.
var dumpNames = []string{"dmesg.txt", "report.txt", "report.json", "vmcore", "vmcore.incomplete", "result.json"}

const dumpComment = "gokexec.align"

// probeDump finds a dump that pkg/capture wrote: a tar stream of its entries.
func probeDump(m *medium) (Signature, bool) {
	head := m.head
	if len(head) < 512 {
		return Signature{}, false
	}
	s := Signature{Kind: Dump, Type: "dump"}
	h, err := tar.NewReader(bytes.NewReader(head)).Next()
	if err == nil && h.Typeflag == tar.TypeXGlobalHeader {
		return s, h.Name == dumpComment
	}
	if err != nil || h.Typeflag != tar.TypeReg || h.Mode != 0o600 || h.Uid != 0 || h.Format != tar.FormatGNU {
		return s, false
	}
	return s, slices.Contains(dumpNames, h.Name)
}
