// Package kdumpfile reads the memory of a crashed machine out of the files that kdump makes, and writes
// such files: ELF cores, the compressed format of makedumpfile ("KDUMP", header versions 1 to 6), and
// the flattened stream (makedumpfile -F, QEMU's dump-guest-memory) of either.
//
// Open recognises the form and returns a Dump: memory by physical and by virtual address, the ELF notes,
// VMCOREINFO. What a form has beyond that is in its own type: *ELF, *Compressed, and
// Flattened, which puts a stream in order without a copy.
//
// WriteCompressed, WriteELF and WriteSplit copy any Dump, without the pages that a Filter leaves out, in
// a few MiB of memory for each goroutine. A Flattener makes a stream of what they write. A dump that
// breaks off can be read as far as it goes, and says that it is incomplete.
//
// Dumps of any machine are read on any machine: 32 and 64 bits, either byte order. A file is never
// trusted: what it promises is checked against its size and against limits before anything is
// allocated, and a dump that is cut off or marked incomplete is read as far as it goes.
package kdumpfile
