// Package config reads gokexec.conf and its drop-ins: which files count, by the Configuration Files
// Specification of the UAPI group, and what they set, in the syntax of systemd.syntax(7). It knows
// no keys: what a setting means is the command's that it stands for.
package config
