// Package debian tests gokexec's package in a complete Debian, with its systemd and
// udev, its own unmodified kdump-tools, and its initramfs builders.
package debian
