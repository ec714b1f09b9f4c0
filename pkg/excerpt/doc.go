// Package excerpt writes a part of a dump: what a dump level keeps of the crashed machine's
// memory, in a form of choice. It is the one way from a source to a written dump: pkg/kdumpfile
// reads and writes, pkg/pagefilter tells the pages apart.
//
// When pages can't be told apart, the whole memory is written, and Excerpt.Whole says why.
package excerpt
