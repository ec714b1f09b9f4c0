package stack

import (
	"fmt"
	"strconv"
	"strings"
)

// raidOptions are those of parse_raid_params, in the order of raid_status (dm-raid.c). What the superblocks say counts for
// the kernel unless sync or rebuild say otherwise: sync makes a new array of the legs, without looking at them, and
// rebuild N begins the rebuilding of a leg again. Both are printed for as long as the running table is in use.
var raidOptions = [...]option{
	{name: "sync", act: dropped},
	{name: "nosync"},
	{name: "rebuild", args: "w", act: dropped},
	{name: "daemon_sleep", args: "w"},
	// These would count more than /proc/sys/dev/raid/speed_limit_*, which hold a rebuild in the capture kernel.
	{name: "min_recovery_rate", args: "w", act: dropped},
	{name: "max_recovery_rate", args: "w", act: dropped},
	{name: "write_mostly", args: "w"},
	// The kernel prints half of what it was given.
	{name: "max_write_behind", args: "w", act: dropped},
	// Pages of each leg; the default of 256 is enough.
	{name: "stripe_cache", args: "w", act: dropped},
	{name: "region_size", args: "w"},
	{name: "raid10_copies", args: "w"},
	{name: "raid10_format", args: "w"},
	{name: "raid10_use_near_sets"},
	{name: "delta_disks", args: "w", act: refused, why: "the array is being reshaped"},
	{name: "data_offset", args: "w", act: refused, why: "the array was reshaped, and has room for that before its data"},
	{name: "journal_dev", args: "d", act: refused, why: "the array has a write journal"},
	{name: "journal_mode", args: "w", act: refused, why: "the array has a write journal"},
}

// readRaid: KIND, the number of parameters, CHUNK and options, LEGS, and META DATA of each (dm-raid.c, raid_status).
func readRaid(r *rowReader) {
	kind := r.word()
	if !strings.HasPrefix(kind, "raid") {
		r.fail("word %d is no kind of raid", r.at)
	}
	n := r.count(1)
	chunk := r.drop()
	if n < 1 || !digits(chunk) {
		r.fail("word %d is no size of a chunk", r.at)
	}
	words := r.optionWords(n-1, raidOptions[:])
	r.emit(strconv.Itoa(1 + len(words)))
	r.emit(chunk)
	r.emit(words...)

	legs := r.count(2)
	if legs < 1 || legs > maxLegs {
		r.fail("%d legs", legs)
	}
	r.emit(strconv.Itoa(legs))
	for ; legs > 0 && r.why == ""; legs-- {
		meta, data := r.next(), r.next()
		r.emit(meta, data)
		switch {
		case meta == "-" && data == "-" && kind == "raid0":
			r.refuse("a leg of it is missing, and it has no other copy of the data", elsewhere)
		case meta == "-" && data == "-":
		case meta == "-" && deviceWord(data) && kind != "raid0":
			r.refuse("its legs have no superblocks, so one that had failed could not be told from the others", elsewhere)
		case !deviceWord(data) || meta != "-" && !deviceWord(meta):
			r.fail("word %d is no device number", r.at)
		}
	}
}

// legDevices are the devices of a leg, as a table names them; "-" if there is none.
type legDevices struct{ meta, data string }

// Legs is the number of legs of a row of type raid.
func Legs(row Row) (int, error) {
	legs, err := raidLegs(row)
	return len(legs), err
}

// raidLegs are the legs of a row of type raid, in their order.
func raidLegs(row Row) ([]legDevices, error) {
	if why, _ := Refused(row); row.Type != "raid" || why != "" {
		return nil, fmt.Errorf("legs of a row of type %s: %s", row.Type, why)
	}
	words := strings.Fields(row.Args)
	n, _ := strconv.Atoi(words[1]) // as Refused has seen
	var legs []legDevices
	for words = words[3+n:]; len(words) > 0; words = words[2:] {
		legs = append(legs, legDevices{words[0], words[1]})
	}
	return legs, nil
}

// WithoutLegs is a row of type raid in which these legs are missing.
func WithoutLegs(row Row, missing func(leg int) bool) (Row, error) {
	legs, err := raidLegs(row)
	if err != nil {
		return Row{}, err
	}
	words := strings.Fields(row.Args)
	words = words[:len(words)-2*len(legs)]
	for i, l := range legs {
		if missing(i) {
			l = legDevices{"-", "-"}
		}
		words = append(words, l.meta, l.data)
	}
	row.Args = strings.Join(words, " ")
	return row, nil
}
