//go:build !386 && !arm

package kexecsys

// A 64-bit program on a 64-bit kernel may leave the architecture 0.
const nativeArch LoadFlags = 0
