// Package store puts objects into stores over the network: S3, SSH and HTTPS. An object is there whole or not at all;
// one that is read from a file is resumed where an attempt broke off, by what the store has of it, without
// any state of our own. Servers that fail, hang or ask for patience are bounded by deadlines: [remote.Settings] has
// them.
//
// TLS, SSH and S3 initialise much when a process starts, and double the size of a program. So only gokexec-remote has
// this package; others hand it objects through pkg/remote.
package store
