// Package getopt parses a command line exactly as glibc's getopt_long does
// (getopt_long(3), glibc posix/getopt.c), with the same messages: a program that replaces
// another must work with its scripts, which rely on options after operands, several short
// options in one word, and abbreviated long options.
package getopt
