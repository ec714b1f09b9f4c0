// Package vmcore is the memory of a crashed kernel, whatever file it is kept in.
//
// VMCoreInfo describes the kernel's data structures, Note is an ELF note stored with the memory. An
// AddressSpace translates the kernel's virtual addresses: by its fixed mappings and by its page
// tables. A Reader reads C types, and a Layout collects the sizes and offsets that are needed for
// structures. Kernel log, page filter and report stand on these.
package vmcore
