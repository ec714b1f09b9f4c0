// Package imagetest builds small kernel images for tests: each format that
// pkg/bootimage reads, from a struct that reads like the header. The bytes
// after the headers are no code; nothing here boots.
//
// The builders know nothing of pkg/bootimage, so that each can find a mistake
// of the other.
package imagetest
