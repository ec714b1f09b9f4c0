package object

import (
	"errors"
	"fmt"
)

// maxList bounds a list, in elements.
const maxList = 1 << 22

// ErrList is a list that doesn't lead back to its head.
var ErrList = errors.New("the list is damaged")

// List calls each with every object of a struct list_head whose head is at an address. The objects are of a type, and
// member is the list_head in them. It ends when each returns an error, with that error. Otherwise the error is a
// *btf.MissingError, a *vmcore.ReadError, or ErrList.
func (k *Kernel) List(head uint64, typ, member string, each func(Object) error) error {
	o, err := k.At(typ, 0)
	if err != nil {
		return err
	}
	m, err := o.Member(member)
	if err != nil {
		return err
	}
	offset := m.Address // of the list_head, since the object is at 0
	seen := uint64(0)
	for n, at := 0, head; ; n++ {
		next, err := k.Ulong(at, member)
		switch {
		case err != nil:
			return err
		case next == head:
			return nil
		case next == seen || n == maxList:
			return fmt.Errorf("%w: from %#x it doesn't lead back to its head at %#x", ErrList, next, head)
		case n&(n-1) == 0:
			seen = next // a list that leads into itself comes past one of these again
		}
		o.Address = next - offset
		if err := each(o); err != nil {
			return err
		}
		at = next
	}
}
