// Package check looks for what would make a load or a capture fail, before it is tried,
// and for what has made a load fail, afterwards.
//
// Load has what the kernel would refuse: of the machine (Host) and of the plan. Initrd and
// Capture have what no load refuses, but the capture would fail by. Explain turns the
// errno of a system call into cause and remedy.
package check
