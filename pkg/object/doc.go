// Package object reads a crashed kernel's objects by the names of their members, as the kernel's own types (pkg/btf)
// tell where these are: the member "se.exec_start" of a "task_struct", whatever version and configuration it is of.
//
// A Kernel makes an Object of an address; from there on members, pointers, arrays and lists lead to others. Nothing is
// trusted: texts are bounded, and a list that leads into itself ends with an error.
package object
