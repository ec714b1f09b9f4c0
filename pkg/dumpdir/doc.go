// Package dumpdir is what a capture leaves in a directory: one directory for each dump, named after the time of the
// crash, and the files in it. It has their names, and opens and replaces them without following a link.
package dumpdir
