package stack

import "io"

// MemberID tells the members of an md array apart, as [Content] has it: by the UUID of the member in a superblock of
// version 1, by its number in one of version 0.90. metadata is the version as sysfs has it; size is that of the device,
// in bytes. An array that cannot be assembled in a capture kernel is an error, as when it is being reshaped.
func MemberID(dev io.ReaderAt, size int64, metadata string) (string, error) {
	s, err := readSuperblock(dev, size, metadata)
	if err != nil {
		return "", err
	}
	return s.device(), nil
}
