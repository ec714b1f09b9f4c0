// Package btf reads the kernel's description of its own types, BTF, out of its memory: where a member of a structure
// is, how large it is, what an enumerator stands for.
//
// The format is that of Documentation/bpf/btf.rst. Read goes through it twice, once over the names and once over the
// types, and keeps where every 16th type begins and what it found of the names that it is given: some 50 KiB, where
// the types themselves have 4 to 6 MiB. Everything else is read again when it is asked for.
//
// A kind of type that is not known can't be passed over, so it ends in an error.
package btf
