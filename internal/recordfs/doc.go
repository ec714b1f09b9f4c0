// Package recordfs records what a program reads of a file system, so that the
// same program can read the same from the record: on another machine, or in a
// test.
package recordfs
