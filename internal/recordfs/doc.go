// Package recordfs records what a program reads from a file system, so that the
// program can read the same from the record on another machine or in a test.
package recordfs
