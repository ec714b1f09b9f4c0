package bootloader

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Reservation is a crashkernel= that a configuration has for the boots to come.
type Reservation struct {
	Path string `json:"path"` // of the file
	Word string `json:"word"` // crashkernel=VALUE
}

// File is a file to be written.
type File struct {
	Path string `json:"path"` // absolute
	Old  []byte `json:"-"`    // nil: there is none
	New  []byte `json:"-"`    // nil: it is to be removed
}

// Change is what is to be done to a machine so that the command lines of its next boots have, or no longer have, a
// reservation. It is data: nothing was written or run.
type Change struct {
	Loader   string        `json:"loader"`             // the boot loader, "" when it is not known
	Present  []Reservation `json:"present,omitempty"`  // what is configured now
	Files    []File        `json:"files,omitempty"`    // to write
	Commands [][]string    `json:"commands,omitempty"` // to run after that, each a program and its arguments
	Undo     [][]string    `json:"undo,omitempty"`     // what takes the commands back, once the files are as they were
	Notes    []string      `json:"notes,omitempty"`    // what else there is to know
	Manual   string        `json:"manual"`             // how to do it by hand
	ByHand   bool          `json:"by_hand,omitempty"`  // Manual is the only way
}

// Nothing tells that the machine has what was asked for.
func (c *Change) Nothing() bool { return len(c.Files) == 0 && len(c.Commands) == 0 && !c.ByHand }

// Kept are the reservations that differ from the words that were asked for, and stay.
func (c *Change) Kept(words []string) []Reservation {
	var kept []Reservation
	for _, p := range c.Present {
		if !slices.Contains(words, p.Word) {
			kept = append(kept, p)
		}
	}
	return kept
}

func (c *Change) write(path, old, text string, exists bool) {
	if exists && old == text {
		return
	}
	f := File{Path: path, New: []byte(text)}
	if exists {
		f.Old = []byte(old)
	}
	c.Files = append(c.Files, f)
}

// edit is what is done to each command line of a configuration.
type edit struct {
	add     []string // words that a line is to have
	remove  []string // words that no line is to have
	replace bool     // other reservations go too; without it, a line that has one stays as it is

	change *Change
}

// line gives the command line, changed, and notes the reservations that it has.
func (e *edit) line(path, s string) string {
	found := reservations(s)
	for _, w := range found {
		if r := (Reservation{path, w}); !slices.Contains(e.change.Present, r) {
			e.change.Present = append(e.change.Present, r)
		}
	}
	if len(e.remove) > 0 {
		return without(s, func(w string) bool { return slices.Contains(e.remove, w) })
	}
	if slices.Equal(found, e.add) || len(found) > 0 && !e.replace {
		return s
	}
	return with(without(s, isReservation), e.add)
}

// pieces gives the pieces of one command line, changed: words are taken out of each, and added to the last.
func (e *edit) pieces(path string, texts ...string) []string {
	var found []string
	for _, s := range texts {
		found = append(found, reservations(s)...)
	}
	changed := make([]string, len(texts))
	for i, s := range texts {
		own := *e
		if i < len(texts)-1 || len(found) > 0 && !e.replace {
			own.add = nil
		}
		if changed[i] = own.line(path, s); len(e.remove) == 0 && slices.Equal(found, e.add) {
			changed[i] = s
		}
	}
	return changed
}

// afterFiles has commands run if a file is written, and when that is taken back.
func (e *edit) afterFiles(commands ...[]string) {
	if len(e.change.Files) > 0 {
		e.change.Commands, e.change.Undo = commands, commands
	}
}

// words are those that the edit is about, as an administrator writes them.
func (e *edit) words() string {
	if len(e.remove) > 0 {
		return strings.Join(e.remove, " ")
	}
	return strings.Join(e.add, " ")
}

// manual tells how to do it by hand: where a command line stands, and what to run after that.
func (e *edit) manual(where, after string) {
	verb, to := "add", "to"
	if len(e.remove) > 0 {
		verb, to = "remove", "from"
	}
	e.change.Manual = fmt.Sprintf("%s %s %s %s", verb, e.words(), to, where)
	if after != "" {
		e.change.Manual += ", then run " + after
	}
}

// edited plans to write a file with what change makes of its text.
func (m *machine) edited(e *edit, path string, change func(text string) (string, error)) error {
	old, err := m.read(path)
	if err != nil {
		return err
	}
	text, err := change(old)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	e.change.write(path, old, text, true)
	return nil
}

// row is a boot loader, or a way to configure one.
type row struct {
	name string
	// found tells whether this is what boots the machine.
	found func(m *machine) bool
	// plan plans the edit of all its command lines.
	plan func(m *machine, e *edit) error
}

// rows are the boot loaders in the order in which they are looked for: those that own the configuration of others come
// first.
func rows() []row {
	return []row{
		ostree, unifiedImage, sdbootutil, grubby, typeOne, raspberryPi, armbian, ubootMenu, updateExtlinux(), extlinux, flashKernel(), zipl, grub,
	}
}

// Set plans that the next boots have the reservation words ("crashkernel=256M"; several are one reservation, of high and low
// memory). A command line that has another reservation keeps it, unless replace is true.
//
// An error says what in the configuration is not understood; the change beside it has Manual.
func Set(root fs.FS, words []string, replace bool) (*Change, error) {
	return plan(root, &edit{add: words, replace: replace})
}

// Remove plans that the next boots don't have exactly these words.
func Remove(root fs.FS, words []string) (*Change, error) { return plan(root, &edit{remove: words}) }

func plan(root fs.FS, e *edit) (*Change, error) {
	m := newMachine(root)
	e.change = &Change{}
	for _, r := range rows() {
		if r.found(m) {
			e.change.Loader = r.name
			err := r.plan(m, e)
			return e.change, err
		}
	}
	e.manual("the kernel's command line in the configuration of your boot loader", "")
	e.change.ByHand = true
	if running := reservations(m.text("/proc/cmdline")); len(running) > 0 {
		// What booted this time does the next, as far as can be told.
		for _, w := range running {
			e.change.Present = append(e.change.Present, Reservation{"/proc/cmdline", w})
		}
		e.change.ByHand = len(e.remove) > 0 || e.replace && !slices.Equal(running, e.add)
	}
	return e.change, nil
}
