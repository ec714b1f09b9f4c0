// Package elfcore reads and writes the ELF core files that describe a crashed machine.
//
// Reading: File is /proc/vmcore or a saved dump. It returns the memory by physical address
// (ReadPhysAt) or by virtual address of the crashed kernel (ReadVirtAt), the notes, and the
// VMCOREINFO text, which describes the kernel's data structures. Dumps of any machine are read
// on any machine: 32 and 64 bits, either byte order, cut off, filtered, or tens of TiB long.
//
// Writing: Header is the elfcorehdr that a crash kernel is given, which becomes
// the head of /proc/vmcore there. It can be built, encoded, decoded and compared.
package elfcore
