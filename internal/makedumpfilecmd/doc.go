// Package makedumpfilecmd is the command line of makedumpfile(8): its options, what they
// mean together, its messages, and what gokexec does differently or does not support. It
// turns command lines into Invocations and has no side effects, so that the command
// lines of any script can be tested anywhere.
//
// The reference is makedumpfile 1.7.8 with what its git has since (--extension).
package makedumpfilecmd
