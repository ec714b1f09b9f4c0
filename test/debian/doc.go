// Package debian tests gokexec's package in a whole Debian: its systemd and udev, its
// own kdump-tools, unmodified, and what its initramfs builders make.
package debian
