// Package accuracy verifies the crash kernel that is loaded: whether its elfcorehdr is that
// of the machine as it is (Verify), and whether another program has loaded since
// (fingerprints of the crash memory).
package accuracy
