package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
)

// Payload is a file for kexec_file_load: the user's own, so that signatures
// and IMA attributes count, or bytes that had to be unpacked.
type Payload struct {
	Path   string   // as the user named it
	Size   int64    // bytes that the kernel will read
	Unwrap []string // what was unpacked, outermost first; empty: the file as it is

	source *Source
	data   []byte
}

// Open gives a read-only file for the system call. Unpacked bytes go through
// a sealed memfd: the kernel refuses a file that is open for writing
// (ETXTBSY), so it is reopened read-only and the writable side closed.
func (p *Payload) Open() (*os.File, error) {
	if p.data == nil {
		if p.source == nil || p.source.file == nil {
			return memFile(p.Path, p.source)
		}
		// A handle of its own, so that closing it leaves the Source open.
		fd, err := unix.FcntlInt(p.source.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("duplicate the handle of %s: %w", p.Path, err)
		}
		return os.NewFile(uintptr(fd), p.Path), nil
	}
	return memFile(p.Path, FromBytes(p.Path, p.data))
}

// BusyFileHint is what to do about ETXTBSY.
const BusyFileHint = "the kernel or initrd file is open for writing (is it being installed right now?); try again when the writer is done"

// CheckWriters refuses a file that somebody has open for writing: the kernel
// does too (ETXTBSY, fs/kernel_read_file.c), but only after it has freed the
// image that is loaded. A read lease is only given on a file without writers
// (fcntl(2), F_SETLEASE); where leases don't work, the kernel is left to judge.
func (p *Plan) CheckWriters() error {
	for _, payload := range []*Payload{p.Kernel, p.Initrd} {
		if payload == nil || payload.data != nil || payload.source == nil || payload.source.file == nil {
			continue
		}
		fd := payload.source.file.Fd()
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		if errors.Is(err, unix.EAGAIN) {
			return &advice.Problem{What: payload.Path + " is open for writing", Hint: BusyFileHint, Err: unix.ETXTBSY}
		}
		if err == nil {
			if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK); err != nil {
				return fmt.Errorf("give the lease on %s back: %w", payload.Path, err)
			}
		}
	}
	return nil
}

func memFile(name string, s *Source) (*os.File, error) {
	if s == nil {
		return nil, fmt.Errorf("%s: there is nothing to load", name)
	}
	data, err := s.Bytes()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("gokexec", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create for %s: %w", name, err)
	}
	w := os.NewFile(uintptr(fd), name)
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("write %d bytes of %s to memory: %w", len(data), name, err)
	}
	if _, err := unix.FcntlInt(w.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	r, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, fmt.Errorf("reopen %s read-only: %w", name, err)
	}
	return r, nil
}

// Reader gives what the kernel will unpack; nil if there is nothing to read.
func (p *Payload) Reader() io.Reader {
	switch {
	case p.data != nil:
		return bytes.NewReader(p.data)
	case p.source != nil:
		return io.NewSectionReader(p.source, 0, p.source.Size)
	}
	return nil
}

// Modified is when the file was written last.
func (p *Payload) Modified() (time.Time, bool) {
	if p.source == nil || p.source.file == nil {
		return time.Time{}, false
	}
	info, err := p.source.file.Stat()
	if err != nil {
		return time.Time{}, false
	}
	return info.ModTime(), true
}
