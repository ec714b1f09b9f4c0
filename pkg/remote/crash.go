package remote

import "time"

// Crash is whose objects a Receiver is sent: their names are below the directory of the crash.
type Crash struct {
	// Machine is the identity of the machine in a fleet; "" has none.
	Machine string `json:"machine,omitempty"`
	// Time is when it crashed or, if that is not known, was captured.
	Time time.Time `json:"time"`
}

// timeLayout is that of names: ISO 8601 without colons.
const timeLayout = "20060102T150405Z"

// ID names the crash: the same whoever sends it, and whenever.
func (c *Crash) ID() string {
	id := c.Time.UTC().Format(timeLayout)
	if c.Machine != "" {
		id = c.Machine + "-" + id
	}
	return id
}

// Directory is what the names of its objects begin with.
func (c *Crash) Directory() string { return "crashes/" + c.ID() }
