package devmapper

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/stack"
)

// Control is the node of device mapper's control device, which devtmpfs makes.
const Control = "/dev/mapper/control"

// Mapper is the kernel's device mapper. Its errors unwrap to errnos; none quotes a table.
type Mapper struct {
	// call makes one ioctl, whose answer replaces the request in the buffer.
	call func(c command, b []byte) error
}

var _ stack.Mapper = (*Mapper)(nil)

// New returns the device mapper of the running kernel. Nothing is opened yet.
func New() *Mapper { return &Mapper{ioctl} }

// Create makes a map without a table. It is EBUSY if there is one with the name or UUID.
func (m *Mapper) Create(name, uuid string) (stack.Number, error) {
	var number stack.Number
	err := m.do(request{command: devCreate, name: name, uuid: uuid}, 0, func(b []byte, a answer) error {
		number = a.number
		return nil
	})
	return number, err
}

// Load gives a map a table, which is in use after Resume.
func (m *Mapper) Load(name string, readOnly bool, table []stack.Row) error {
	return m.do(request{command: tableLoad, name: name, flags: mode(readOnly) | flagSecureData, table: table}, 0, nil)
}

// Resume makes the loaded table the one in use.
func (m *Mapper) Resume(name string, readOnly bool) error {
	return m.do(request{command: devSuspend, name: name, flags: mode(readOnly)}, 0, nil)
}

// Remove removes a map. It is EBUSY while something has it open, and ENXIO if there is none.
func (m *Mapper) Remove(name string) error {
	return m.do(request{command: devRemove, name: name}, 0, nil)
}

// Table returns the table in use, which may hold keys; none if there is none.
func (m *Mapper) Table(name string) ([]stack.Row, error) {
	return m.rows(request{command: tableStatus, name: name, flags: flagStatusTable | flagSecureData})
}

// Status returns what each target says of itself. A thin pool commits its metadata first, so that the numbers are
// those of now.
func (m *Mapper) Status(name string) ([]stack.Row, error) {
	return m.rows(request{command: tableStatus, name: name})
}

func mode(readOnly bool) uint32 {
	if readOnly {
		return flagReadOnly
	}
	return 0
}

// Sizes of the buffer for an answer with targets, in bytes: the first, and the largest.
const (
	firstRoom = 16 << 10
	lastRoom  = 64 << 20
)

func (m *Mapper) rows(r request) (rows []stack.Row, err error) {
	for room := firstRoom; ; room *= 4 {
		full := false
		err = m.do(r, room, func(b []byte, a answer) error {
			if full = a.flags&flagBufferFull != 0; full {
				return nil
			}
			rows, err = decodeRows(b, a)
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case !full:
			return rows, nil
		case room >= lastRoom:
			return nil, fmt.Errorf("%s %s: the answer has more than %d bytes", r.command, r.name, room)
		}
	}
}

// interrupts bounds how often a call that a signal interrupted is made again: Go's scheduler sends some.
const interrupts = 20

// do makes a request, with so many bytes of room for targets in the answer, and has the answer used.
func (m *Mapper) do(r request, room int, use func(b []byte, a answer) error) error {
	fail := func(err error) error { return fmt.Errorf("%s %s: %w", r.command, r.name, err) }
	var err error
	for range interrupts {
		// The kernel may have written into the buffer of a call that failed.
		var b []byte
		if b, err = r.encode(room); err != nil {
			return fail(err)
		}
		if err = m.call(r.command, b); err == nil {
			var a answer
			if a, err = decode(b); err == nil && use != nil {
				err = use(b, a)
			}
		}
		clear(b)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// ioctl makes one call. The control device keeps nothing for who has it open.
func ioctl(c command, b []byte) error {
	f, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), c.number(), uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	runtime.KeepAlive(b)
	if errno != 0 {
		return errno
	}
	return nil
}
