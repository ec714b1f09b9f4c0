package capture

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// tarBlock is the unit of a tar stream, in bytes; two blocks of zeros end it.
const tarBlock = 512

// dumpAlign is where a dump begins on a device: at a multiple of this, in bytes.
const dumpAlign = 4096

// commentName is that of the comment in front of a dump, which align writes.
const commentName = "gokexec.align"

// resultRoom is kept free behind a dump for the result and the end of the
// stream, in bytes.
const resultRoom = 256 << 10

// rawSink is a block device, or an image file of fixed size, written as a tar
// stream.
//
// At every moment what is on the disk is a well-formed stream: an entry's
// contents and the end marker behind it are durable before its header replaces
// the first block of the end marker in front of it. So the remains of an
// earlier, larger dump are never taken for a part of this one.
type rawSink struct {
	file     File
	name     string
	capacity int64
	offset   int64 // of the end marker, where the next header goes
	time     time.Time
	place    *place
}

// rawPolicy is what a raw target may destroy.
type rawPolicy struct {
	overwrite bool          // whatever it holds, but a member of something
	keep      time.Duration // a complete dump is kept for so long
}

// newRaw opens a device and begins an empty stream on it, unless the device
// holds something else.
func newRaw(sys Files, p *place, policy rawPolicy, t time.Time) (*rawSink, error) {
	name := p.Node
	info, err := sys.Stat(name)
	if err != nil {
		return nil, err
	}
	flags := os.O_RDWR
	switch {
	case info.Mode()&fs.ModeType == fs.ModeDevice:
		flags |= exclusive
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: neither a block device nor an image file (%s)", name, info.Mode())
	}
	f, err := sys.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	s := &rawSink{file: f, name: name, time: t, place: p}
	if err := s.begin(policy); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return s, nil
}

func (s *rawSink) begin(policy rawPolicy) error {
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	room, err := s.place.least(size)
	if err != nil {
		return err
	}
	if s.capacity = room &^ (tarBlock - 1); s.capacity < resultRoom+3*tarBlock {
		return fmt.Errorf("%w: %d bytes in all", syscall.ENOSPC, room)
	}
	if err := policy.check(s.file, size, s.time); err != nil {
		return err
	}
	if err := s.zero(0, 2*tarBlock); err != nil {
		return err
	}
	return s.file.Sync()
}

func (s *rawSink) location() string { return s.name }

func (s *rawSink) directory() string { return "" }

func (s *rawSink) zero(offset, length int64) error {
	_, err := s.file.WriteAt(make([]byte, length), offset)
	return err
}

// end writes the padding behind contents that end at the given offset, and the
// end marker.
func (s *rawSink) end(offset int64) error {
	return s.zero(offset, padded(offset)-offset+2*tarBlock)
}

func padded(n int64) int64 { return (n + tarBlock - 1) &^ (tarBlock - 1) }

func (s *rawSink) header(name string, size int64) error {
	h, err := tarHeader(name, size, s.time)
	if err != nil {
		return err
	}
	if _, err := s.file.WriteAt(h, s.offset); err != nil {
		return err
	}
	return s.file.Sync()
}

// tarHeader makes the one header block of an entry. The GNU format has sizes
// over 8 GiB in the block itself, so that it can be replaced by another.
func tarHeader(name string, size int64, t time.Time) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600,
		ModTime: t.Truncate(time.Second), Format: tar.FormatGNU,
	})
	if err == nil && b.Len() != tarBlock {
		err = fmt.Errorf("%d bytes", b.Len())
	}
	if err != nil {
		return nil, fmt.Errorf("tar header of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func (s *rawSink) put(name string, write func(io.Writer) error) (int64, error) {
	w := s.entry(s.capacity - 3*tarBlock)
	if err := s.putEntry(w, name, write); err != nil {
		return 0, fmt.Errorf("write %s to %s: %w", name, s.name, err)
	}
	return w.size(), nil
}

func (s *rawSink) putEntry(w *rawEntry, name string, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return w.finish(name)
}

// note does nothing: in a stream nothing can be replaced.
func (s *rawSink) note([]byte) error { return nil }

func (s *rawSink) create(size int64) (dump, error) {
	if err := s.align(); err != nil {
		return nil, fmt.Errorf("align %s on %s: %w", IncompleteName, s.name, err)
	}
	start := s.offset + tarBlock
	room := s.capacity - start - resultRoom
	if room <= 0 {
		return nil, fmt.Errorf("%s: %w", s.name, syscall.ENOSPC)
	}
	size = min(size, room)
	if err := s.end(start + size); err != nil {
		return nil, fmt.Errorf("end of %s: %w", s.name, err)
	}
	if err := s.file.Sync(); err != nil {
		return nil, fmt.Errorf("sync %s: %w", s.name, err)
	}
	if err := s.header(IncompleteName, size); err != nil {
		return nil, fmt.Errorf("begin %s on %s: %w", IncompleteName, s.name, err)
	}
	return &rawDump{s.entry(start + size)}, nil
}

// align puts a comment in front of the dump, so that its pages are pages of the
// device: else each write would begin and end inside of one, which has to be
// read first, and no reader could map it.
func (s *rawSink) align() error {
	gap := -(s.offset + tarBlock) & (dumpAlign - 1)
	switch {
	case gap == 0:
		return nil
	case gap == tarBlock: // no room for a comment behind its header
		gap += dumpAlign
	}
	block, err := tarComment(gap - tarBlock)
	if err != nil {
		return err
	}
	if err := s.end(s.offset + gap); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(block[tarBlock:], s.offset+tarBlock); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(block[:tarBlock], s.offset); err != nil {
		return err
	}
	s.offset += gap
	return s.file.Sync()
}

// tarComment makes a global header (pax(1)) that holds nothing but a comment,
// with size bytes behind its header block. tar skips it.
func tarComment(size int64) ([]byte, error) {
	const keyword = "comment"
	// A record is "LENGTH comment=TEXT\n", and LENGTH counts all of it.
	text := int(size) - len(fmt.Sprint(size)) - len(" "+keyword+"=\n")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeXGlobalHeader, Name: commentName,
		PAXRecords: map[string]string{keyword: strings.Repeat(" ", max(text, 0))},
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil && int64(b.Len()) != tarBlock+size {
		err = fmt.Errorf("comment of %d bytes; want %d", b.Len(), tarBlock+size)
	}
	if err != nil {
		return nil, fmt.Errorf("tar comment: %w", err)
	}
	return b.Bytes(), nil
}

func (s *rawSink) close() error { return errors.Join(s.file.Close(), s.place.close()) }

// rawEntry is the entry that is being written, up to an offset in the device.
type rawEntry struct {
	*writeBehind
	sink *rawSink
	end  int64
}

func (s *rawSink) entry(end int64) *rawEntry {
	start := s.offset + tarBlock
	return &rawEntry{newWriteBehind(s.file, start), s, max(start, end)}
}

func (e *rawEntry) Write(p []byte) (int, error) { return e.WriteAt(p, e.size()) }

// WriteAt refuses what is beyond the end.
func (e *rawEntry) WriteAt(p []byte, offset int64) (int, error) {
	if room := max(e.end-e.start-offset, 0); int64(len(p)) > room {
		n, err := e.writeBehind.WriteAt(p[:room], min(offset, e.end-e.start))
		if err == nil {
			err = syscall.ENOSPC
		}
		return n, err
	}
	return e.writeBehind.WriteAt(p, offset)
}

// finish makes the contents durable, and then the header with the name.
func (e *rawEntry) finish(name string) error {
	s := e.sink
	if err := s.end(e.offset); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := s.header(name, e.size()); err != nil {
		return err
	}
	s.offset = padded(e.offset)
	return nil
}

// rawDump is an entry whose header is there already, with the name
// vmcore.incomplete.
type rawDump struct{ *rawEntry }

// stale: what the device had before is still there.
func (d *rawDump) stale() bool { return true }

func (d *rawDump) restart() error {
	d.writeBehind.restart()
	return nil
}

func (d *rawDump) commit() error { return d.as(VMCoreName) }

func (d *rawDump) abandon(error) error { return d.as(IncompleteName) }

func (d *rawDump) as(name string) error {
	if err := d.finish(name); err != nil {
		return fmt.Errorf("finish %s on %s: %w", name, d.sink.name, err)
	}
	return nil
}
