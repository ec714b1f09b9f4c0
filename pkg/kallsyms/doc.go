// Package kallsyms reads a kernel's symbol table out of its memory: names by address, addresses by name.
//
// The kernel has its own table in read-only data (kernel/kallsyms.c, scripts/kallsyms.c), and since Linux 6.0
// VMCOREINFO tells where. The names are compressed, one after the other, without an index that VMCOREINFO knows. So
// Read goes through them once: it finds the addresses of the names that it is given and notes where every 256th
// symbol begins. Nothing else is kept, about 10 KiB; all other answers are read again.
//
// The symbols of modules are in tables of their own, which struct module points to: see Module.
package kallsyms
