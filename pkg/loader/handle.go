package loader

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/plan"
)

// handleOf gives a read-only file for the system call: that which the payload was planned of, or a
// sealed memfd with bytes in memory. done closes what was opened for it.
func handleOf(p *plan.Payload, file *plan.Input) (f *os.File, done func(), err error) {
	if f = file.Handle(); f != nil && p.Data == nil {
		return f, func() {}, nil
	}
	data := p.Data
	if data == nil {
		if data, err = file.Bytes(); err != nil {
			return nil, nil, err
		}
	}
	if f, err = memFile(p.Path, data); err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close() }, nil
}

// memFile is a file in memory. The kernel refuses one that is open for writing (ETXTBSY), so it is
// reopened read-only and the writable side closed.
func memFile(name string, data []byte) (*os.File, error) {
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

// checkWriters refuses a file that somebody has open for writing: the kernel
// does too (ETXTBSY, fs/kernel_read_file.c), but only after it has freed the
// image that is loaded. A read lease is only given on a file without writers
// (fcntl(2), F_SETLEASE); where leases don't work, the kernel is left to judge.
func checkWriters(in *plan.Inputs, p *plan.Plan) error {
	for _, input := range []struct {
		payload *plan.Payload
		file    *plan.Input
	}{{p.Kernel, in.Kernel}, {p.Initrd, in.Initrd}} {
		if input.payload == nil || input.payload.Data != nil || input.file.Handle() == nil {
			continue
		}
		fd, path := input.file.Handle().Fd(), input.payload.Path
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		if errors.Is(err, unix.EAGAIN) {
			return &advice.Problem{What: path + " is open for writing", Hint: check.BusyFileHint, Err: unix.ETXTBSY}
		}
		if err == nil {
			if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK); err != nil {
				return fmt.Errorf("give the lease on %s back: %w", path, err)
			}
		}
	}
	return nil
}
