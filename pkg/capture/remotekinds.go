//go:build !gokexec_local

package capture

// remoteKinds are the rows of the targets that are reached over the network. What they import is in no gokexec that is
// built with the tag gokexec_local.
func remoteKinds() []targetKind { return []targetKind{nfsKind(), s3Kind(), sshKind(), httpsKind()} }
