// Package pagefilter decides which page frames a dump leaves out, as makedumpfile -d does: page
// cache, memory of user processes, free memory, pages that must not be read.
//
// All that it knows comes from VMCOREINFO and from the crashed kernel's own page tables, without
// debugging information. A Filter gives each page frame one Class; a Level is a set of classes; a
// Selection is what one level leaves out. What is not understood is kept: a structure that
// VMCOREINFO does not describe, a struct page that can't be read or contradicts another one.
// The pages of the kernel image are always kept. Survey counts the classes and compares them
// with what the kernel itself has counted; a class that doesn't agree is refused.
package pagefilter
