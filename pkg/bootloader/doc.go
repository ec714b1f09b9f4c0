// Package bootloader knows the boot loaders of Linux machines: where the file of the running kernel is
// (FindKernel), and how the kernel's command line is changed for the boots to come.
//
// Everything is read from an fs.FS whose root is that of a machine. Nothing is written: a change is
// data, files to write and commands to run.
package bootloader
