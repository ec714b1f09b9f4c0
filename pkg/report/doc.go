// Package report says what crashed and why, out of a dump alone: no debugging information, no kernel image, no
// network.
//
// Everything comes from what the kernel carries in its own memory: VMCOREINFO, its symbol table (kallsyms), its
// type information (BTF), its unwind tables (ORC) and its log. A dump that lacks one of these, or a page of them,
// costs the parts of the report that stand on it, and no other: [Report.Missing] says which and why.
package report
