//go:build !386 && !arm

package kexecsys

import "github.com/gokexec/gokexec/pkg/kexec"

// A 64-bit program on a 64-bit kernel may leave the architecture 0.
const nativeArch kexec.LoadFlags = 0
