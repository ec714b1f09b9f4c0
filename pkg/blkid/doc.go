// Package blkid tells what a block device holds, from its bytes and from sysfs,
// as blkid(8) does, and what that means for a dump that is to be saved there.
//
//   - [Probe] reads the signatures of a device or image: filesystems, swap, members of
//     RAIDs and the like, partition tables. [Contents.Verdict] weighs them: a device
//     that is a member of something is that and nothing else, whatever filesystem
//     shows inside.
//   - A [Ref] names a device as a configuration does: /dev/NAME, UUID=, LABEL=,
//     PARTUUID= or PARTLABEL=. [Finder] finds the one device that bears the name.
//
// Nothing is written, and what is read is bounded.
package blkid
