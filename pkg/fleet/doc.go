// Package fleet is what many machines agree on that store their crashes in one place, without a server of ours: how a
// crash is called, what its manifest says, and how many of those with the same fingerprint send their memory.
//
// The last is decided by [Claims]: objects that a store creates only if they do not exist. Below the location there
// are
//
//	crashes/ID/manifest.json     of each crash: what is known of it, and where its memory is
//	crashes/ID/vmcore ...        its files
//	fingerprints/FP/N/claim.G    who sends dump N of a fingerprint; G counts those that gave up
//	fingerprints/FP/N/done       dump N is stored
package fleet
