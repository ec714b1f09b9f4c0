// Package dumpdir has the names of what a capture leaves in a directory: one directory for each dump, named after the
// time of the crash, and the files in it; and reads them as what others may have changed.
package dumpdir
