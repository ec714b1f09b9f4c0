package storage

import (
	"context"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/stack"
)

// describe records what the devices that a target lies on are made of. Where they are disks that a capture finds by
// the filesystem's UUID, or by the one name of a raw target, there is nothing to record.
func (m *Machine) describe(ctx context.Context, r *Resolved) error {
	r.Target.Stack = nil
	if m.plain(r.tops) {
		r.Devices = r.on()
		slices.Sort(r.Devices)
		return nil
	}
	w, s, err := m.walkDown(ctx, r.tops)
	if err != nil {
		return err
	}
	r.Keys = nil
	r.Target.Stack, r.nodes, r.Modules, r.Ciphers = s, w.nodes, modules(s), ciphers(s)
	for i, needed := range w.needed() {
		n := &w.nodes[i]
		if !needed {
			continue
		}
		for _, line := range n.warnings {
			r.warn("%s", line)
		}
		if n.layer.Disk != nil && !slices.Contains(r.Devices, n.name) {
			r.Devices = append(r.Devices, n.name)
		}
		if n.key != nil {
			k := *n.key
			k.Device = w.nodes[n.uses[0]].name
			r.Keys = append(r.Keys, k)
			r.note("the capture kernel needs the key of the encrypted volume %s", k.Map)
		}
		if n.room > 0 && (r.room == 0 || n.room < r.room) {
			r.room = n.room
		}
	}
	slices.Sort(r.Devices)
	return nil
}

// plain reports whether a capture finds all devices without a description.
func (m *Machine) plain(tops []top) bool {
	return !slices.ContainsFunc(tops, func(t top) bool {
		return m.stacked(t.block) || t.option != "" && t.option != "device"
	})
}

// identifyTop names the device of a target whose stack is recorded: by the filesystem that it must hold, or for people.
func (m *Machine) identifyTop(r *Resolved, d device) {
	if v := d.Verdict(); r.FSType != "" && v.Kind == blkid.Filesystem && v.Signature.UUID != "" {
		r.Target.Device = blkid.Ref{Key: "UUID", Value: v.Signature.UUID}.String()
		return
	}
	r.Target.Device = d.node()
	if name := m.attribute(d.dir + "/dm/name"); name != "" {
		r.Target.Device = blkid.Ref{Value: "/dev/mapper/" + name}.String()
	}
}

// topOf finds the map that a recorded target lies on, by its name, which a machine keeps.
func (m *Machine) topOf(s *stack.Stack) (block, bool) {
	if s == nil || s.Validate() != nil || s.Layers[s.Tops[0].Layer].Map == nil {
		return block{}, false
	}
	b, err := m.blockByNode("/dev/mapper/" + s.Layers[s.Tops[0].Layer].Map.Name)
	return b, err == nil && m.isMap(b)
}

// modules are those that make a stack.
func modules(s *stack.Stack) []string {
	var names []string
	add := func(more ...string) {
		for _, name := range more {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, l := range s.Layers {
		switch {
		case l.Array != nil:
			add("md-mod", levelModule(l.Array.Level))
		case l.Map != nil:
			add("dm-mod")
			for _, row := range l.Map.Table {
				add(modulesOf(row)...)
			}
		}
	}
	return names
}

// ciphers names what the cipher of an encrypted volume, or the checksum of dm-integrity, is made of (crypto/api.c,
// crypto_larval_lookup; Documentation/admin-guide/device-mapper/dm-crypt.rst and dm-integrity.rst specify them).
func ciphers(s *stack.Stack) []string {
	var names []string
	for _, l := range s.Layers {
		if l.Map == nil {
			continue
		}
		for _, row := range l.Map.Table {
			for _, part := range strings.FieldsFunc(algorithm(row), func(r rune) bool { return strings.ContainsRune("-:(),", r) }) {
				if name := "crypto-" + part; !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// algorithm is what a row decrypts or checks with; "" if it does neither.
func algorithm(row stack.Row) string {
	switch row.Type {
	case "crypt":
		return firstWord(row.Args)
	case "integrity":
		for word := range strings.FieldsSeq(row.Args) {
			if hash, ok := strings.CutPrefix(word, "internal_hash:"); ok {
				name, _, _ := strings.Cut(hash, ":") // a key follows
				return name
			}
		}
	}
	return ""
}

// levelModule is the module of a level of md (drivers/md/*.c, MODULE_ALIAS("md-...")).
func levelModule(level string) string {
	switch level {
	case "raid4", "raid5", "raid6":
		return "raid456"
	case "linear":
		return "md-linear"
	}
	return level
}

// deviceOption takes a device that an option names out of a list of options.
func deviceOption(options, name string) (device, rest string) {
	var others []string
	for option := range strings.SplitSeq(options, ",") {
		if value, ok := strings.CutPrefix(option, name+"="); ok {
			device = unescapeOctal(value)
		} else {
			others = append(others, option)
		}
	}
	return device, strings.Join(others, ",")
}
