// Package storage resolves the targets of a dump on the running machine: what an
// administrator names, a device or a directory as it is seen here, becomes what a
// capture kernel finds, which has no udev, other device names, and only the disks
// whose drivers are loaded.
//
//   - A directory becomes its filesystem's UUID and the path in it: through links,
//     bind mounts and btrfs subvolumes ([Machine.Resolve]).
//   - A device name becomes a stable identity.
//   - Volumes, arrays and multipath devices become a description of what they are made of, down to the disks
//     ([stack.Stack]).
//   - A target that can't exist in a capture kernel is refused, with the reason and an
//     alternative ([Refusal]).
//
// Nothing is written; devices are opened for reading.
package storage
