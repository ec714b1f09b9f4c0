// Package machine reads what a machine is from its /proc and /sys, once, through an
// fs.FS: its memory, its crash memory, what its kernel can do and allows, its firmware.
// It plans nothing.
//
// ReadHost reads this machine (os.DirFS("/")), or a tree that gokexec collect made.
package machine
