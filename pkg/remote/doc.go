// Package remote says where dumps go that leave the machine, and how one process hands them to another. It needs no
// network itself: TLS, SSH and S3 are in gokexec-remote, a program of its own, which pkg/store is a part of. So
// neither the other commands nor the init of the capture kernel pay for them, and an initramfs has them only if
// a target needs them.
//
// [Settings] is what gokexec-remote is told of a store. [Sender] and [Receiver] are the two ends of the pipe through
// which it gets what it is to store.
package remote
