// Package blkid tells what a block device holds, from its bytes and from sysfs,
// as blkid(8) does, and what that means for a dump that is to be saved there.
//
//   - [Probe] reads the signatures of a device or image: filesystems, swap, members of
//     RAIDs and the like, partition tables. [Contents.Verdict] decides between them: a
//     member of something counts as that alone, whatever filesystem it seems to contain.
//   - A [Ref] names a device as a configuration does: /dev/NAME, UUID=, LABEL=,
//     PARTUUID= or PARTLABEL=. [Finder] finds the one device that has the name.
//
// Nothing is written, and what is read is bounded.
package blkid
