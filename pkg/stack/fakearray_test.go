package stack

import (
	"encoding/binary"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (k *fakeSystem) Write(name, text string) error {
	if err := k.call("write %s %s", name, text); err != nil {
		return err
	}
	array, attribute, found := strings.Cut(strings.TrimPrefix(name, "/sys/block/"), "/md/")
	switch {
	case name == mdParameters+"new_array":
		if k.array(text) != nil {
			return unix.EEXIST
		}
		n, err := strconv.Atoi(strings.TrimPrefix(text, "md"))
		if err != nil {
			return unix.EINVAL
		}
		k.arrays = append(k.arrays, &fakeArray{name: text, number: Number{9, uint32(n)}, state: "clear"})
	case !found:
		k.params[name] = text
	case k.array(array) == nil:
		return fs.ErrNotExist
	default:
		return k.writeArray(k.array(array), attribute, text)
	}
	return nil
}

// partition is the number of a partition of an array.
func partition(a *fakeArray, n int) Number { return Number{259, a.number.Minor*100 + uint32(n)} }

func (k *fakeSystem) array(name string) *fakeArray {
	for _, a := range k.arrays {
		if a.name == name {
			return a
		}
	}
	return nil
}

func (k *fakeSystem) writeArray(a *fakeArray, attribute, text string) error {
	switch attribute + " " + text {
	case "array_state clear":
		partition := slices.ContainsFunc(slices.Collect(maps.Keys(k.parts[a.uuid])), func(n int) bool { return k.held(partition(a, n)) })
		if k.busy(a.name, a.number) || partition {
			return unix.EBUSY
		}
		k.arrays = slices.DeleteFunc(k.arrays, func(o *fakeArray) bool { return o == a })
		return nil
	case "array_state readonly":
		return k.run(a)
	case "array_state read-auto":
		if a.state != "readonly" {
			return unix.EINVAL
		}
		a.state = text
		return nil
	case "sync_action frozen":
		sb := k.block(a.members[0])
		if level := int32(binary.LittleEndian.Uint32(sb[72:])); level < 1 {
			return fs.ErrNotExist
		}
		a.frozen = true
		return nil
	}
	switch attribute {
	case "metadata_version":
		a.metadata = text
		return nil
	case "new_dev":
		n, err := parseNumber(text)
		if err != nil {
			return unix.EINVAL
		}
		if k.held(n) {
			return unix.EBUSY
		}
		sb := k.block(n)
		if a.metadata == "" || sb == nil || len(a.members) > 0 && string(sb[16:32]) != string(k.block(a.members[0])[16:32]) {
			return unix.EINVAL
		}
		a.members = append(a.members, n)
		return k.give(n)
	}
	return unix.EINVAL
}

// run starts an array, of the superblocks of its members.
func (k *fakeSystem) run(a *fakeArray) error {
	if len(a.members) == 0 {
		return unix.EINVAL
	}
	if k.params[mdParameters+"start_ro"] != "1" || k.params["/proc/sys/dev/raid/speed_limit_max"] != "1" {
		k.wrong = append(k.wrong, "an array may rebuild")
	}
	sb := k.block(a.members[0])
	le := binary.LittleEndian
	dirty := le.Uint64(sb[208:]) != 1<<64-1
	if level := le.Uint32(sb[72:]); level == 5 && dirty && len(a.members) < int(le.Uint32(sb[92:])) && k.params[mdParameters+"start_dirty_degraded"] != "1" {
		return unix.EIO
	}
	a.state, a.uuid = "readonly", dashedUUID(sb[16:32])
	return nil
}

// block is the superblock of version 1.2 of a device; nil for none.
func (k *fakeSystem) block(n Number) []byte {
	b := make([]byte, 512)
	if _, err := (&fakeDevice{k: k, number: n}).ReadAt(b, 4096); err != nil || binary.LittleEndian.Uint32(b) != 0xa92b4efc {
		return nil
	}
	return b
}
