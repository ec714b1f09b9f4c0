package stack

import "io"

// MemberID tells the members of an md array apart, as [Content] has it: by the UUID of the member in a superblock of
// version 1, by its number in one of version 0.90. open opens the member; metadata is the version as sysfs has it. An array that cannot be assembled in a capture kernel is an error, as when it is being reshaped.
func MemberID(open func() (Device, error), metadata string) (id string, err error) {
	err = readDevice(open, func(dev io.ReaderAt, size int64) error {
		s, err := readSuperblock(dev, size, metadata)
		if err == nil {
			id = s.device()
		}
		return err
	})
	return id, err
}
