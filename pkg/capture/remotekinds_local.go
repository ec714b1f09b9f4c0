//go:build gokexec_local

package capture

// remoteKinds is empty in a gokexec for captures to disks.
func remoteKinds() []targetKind { return nil }
