// Package elfcore reads and writes the ELF core files that describe a crashed machine.
//
// Reading: File is /proc/vmcore or a saved dump. It gives the memory by physical address
// (ReadPhysAt) or by the dead kernel's virtual address (ReadVirtAt), the notes, and the
// VMCOREINFO text that tells how to find one's way in that memory. Dumps of any machine are read
// on any machine: 32 and 64 bits, either byte order, cut off, filtered, or tens of TiB long.
//
// Writing: Header is the elfcorehdr that a crash kernel is given, which becomes
// the head of /proc/vmcore there. It can be built, encoded, decoded and compared.
package elfcore
