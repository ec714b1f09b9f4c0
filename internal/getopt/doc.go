// Package getopt reads a command line as glibc's getopt_long does (getopt_long(3),
// glibc posix/getopt.c), to the letter of its messages: programs that take over
// another's name take over its scripts, which rely on options after operands,
// short options in one word, and long options cut short.
package getopt
