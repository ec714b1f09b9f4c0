package stack

import (
	"fmt"
	"slices"
	"strings"
)

// target is a kind of target of device mapper.
type target struct {
	name string
	read func(*rowReader) // nil: refused, for this reason
	why  string
	// instead is what to do where it is refused.
	instead string
}

const (
	elsewhere = "choose a dump target that does not lie on it"
	forTests  = "it is made for tests, or shows where data is missing"
)

// targets lists what can be made again in the capture kernel, and why other kinds cannot. The formats are those of the
// status function of each target in drivers/md, for STATUSTYPE_TABLE.
//
// A recorder takes the words that are MAJOR:MINOR, and no others, for devices. Three places are traps:
//   - integrity has a device in a word: meta_device:MAJOR:MINOR. It is refused.
//   - crypt has a key, and a description that somebody chose. It begins with a colon or is hexadecimal, so it never matches.
//   - verity has root_hash_sig_key_desc, multipath the arguments of a selector that is not known: free text. Such words
//     are refused where they look like a device.
var targets = [...]target{
	{name: "linear", read: readLinear},
	{name: "striped", read: readStriped},
	{name: "unstriped", read: readUnstriped},
	{name: "zero", read: readZero},
	{name: "mirror", read: readMirror},
	{name: "raid", read: readRaid},
	{name: "snapshot-origin", read: readOrigin},
	{name: "snapshot", read: readSnapshot},
	{name: "thin-pool", read: readThinPool},
	{name: "thin", read: readThin},
	{name: "crypt", read: readCrypt},
	{name: "integrity", read: readIntegrity},
	{name: "multipath", read: readMultipath},
	{name: "verity", read: readVerity},

	{name: "cache", why: "what was written last may be on the cache device only, and a cache that was not shut down was never tried in a capture kernel",
		instead: "choose a volume that is not cached, or end the caching (lvconvert --uncache)"},
	{name: "writecache", why: "what was written last may be on the cache device only, and a cache that was not shut down was never tried in a capture kernel",
		instead: "choose a volume that is not cached, or end the caching (lvconvert --uncache)"},
	{name: "pcache", why: "what was written last may be in persistent memory only, which was never tried in a capture kernel", instead: elsewhere},
	{name: "vdo", why: "its index and its block map need more memory than a crash kernel has", instead: "choose a volume outside of the VDO pool"},
	{name: "snapshot-merge", why: "a snapshot is being merged into its origin", instead: "wait for the end of the merge (lvs), then load again"},
	{name: "era", why: "it counts for a backup which blocks were written, and was never tried in a capture kernel", instead: elsewhere},
	{name: "clone", why: "it is still being copied from another device", instead: "wait for the end of the copying, then load again"},
	{name: "zoned", why: "zoned disks under it were never tried in a capture kernel", instead: elsewhere},
	{name: "ebs", why: "it was never tried in a capture kernel", instead: elsewhere},
	{name: "switch", why: "its paths are set by messages, which the table does not have", instead: elsewhere},
	{name: "flakey", why: forTests, instead: elsewhere},
	{name: "dust", why: forTests, instead: elsewhere},
	{name: "delay", why: forTests, instead: elsewhere},
	{name: "error", why: forTests, instead: elsewhere},
	{name: "log-writes", why: forTests, instead: elsewhere},
}

// Refused tells why a row of a running table cannot be made in the capture kernel, and what to do instead; "" if it can.
// No word of the row is in the answer.
func Refused(row Row) (why, instead string) {
	_, why, instead = clone(row)
	return why, instead
}

// Clone is the row with which to make in the capture kernel what a row of the running machine is. It has the same devices,
// in the same order, but nothing that would make a writer wait for a daemon that is not there, start a rebuild or a
// recalculation from the beginning, or take memory for speed. A row that is [Refused] is returned as it is.
func Clone(row Row) Row {
	cloned, why, _ := clone(row)
	if why != "" {
		return row
	}
	return cloned
}

func clone(row Row) (cloned Row, why, instead string) {
	for i := range targets {
		t := &targets[i]
		switch {
		case t.name != row.Type:
			continue
		case t.read == nil:
			return Row{}, fmt.Sprintf("device mapper's target %s: %s", t.name, t.why), t.instead
		}
		r := newRowReader(row.Args)
		t.read(r)
		if len(r.in) > 0 {
			r.fail("%d words after its end", len(r.in))
		}
		if r.why != "" {
			if r.what == "" {
				r.what = elsewhere
			}
			return Row{}, fmt.Sprintf("device mapper's target %s: %s", t.name, r.why), r.what
		}
		row.Args = strings.Join(r.out, " ")
		return row, "", ""
	}
	return Row{}, fmt.Sprintf("gokexec does not know device mapper's target %q", row.Type), elsewhere
}

// readLinear: DEVICE START (dm-linear.c, linear_status).
func readLinear(r *rowReader) { r.device(); r.number() }

// readZero: dm-zero.c has no arguments.
func readZero(*rowReader) {}

// readStriped: STRIPES CHUNK, and DEVICE START of each (dm-stripe.c, stripe_status).
func readStriped(r *rowReader) {
	stripes := r.number()
	r.number()
	if stripes == 0 || stripes > maxArgs {
		r.fail("%d stripes", stripes)
	}
	for ; stripes > 0 && r.why == ""; stripes-- {
		r.device()
		r.number()
	}
}

// readUnstriped: STRIPES CHUNK STRIPE DEVICE START (dm-unstripe.c, unstripe_status).
func readUnstriped(r *rowReader) {
	r.number()
	r.number()
	r.number()
	r.device()
	r.number()
}

var mirrorOptions = [...]option{
	{name: "handle_errors"},
	{name: "keep_log", act: refused, why: "it goes on without a mirror that failed, which nothing on the disks tells later"},
}

// readMirror: the log, MIRRORS, DEVICE START of each, and features (dm-raid1.c, mirror_status; dm-log.c, core_status and
// disk_status).
func readMirror(r *rowReader) {
	kind := r.word()
	if kind != "core" && kind != "disk" {
		r.refuse("its log is kept by a daemon", elsewhere)
	}
	n := r.count(1)
	r.emit(fmt.Sprint(n))
	if kind == "disk" {
		r.device()
		n--
	}
	r.number() // size of a region
	for n--; n > 0 && r.why == ""; n-- {
		if word := r.word(); word != "sync" && word != "nosync" {
			r.fail("word %d is an option that gokexec does not know", r.at)
		}
	}
	if n < 0 {
		r.fail("too few arguments of its log")
	}
	mirrors := r.count(2)
	if mirrors == 0 {
		r.fail("no mirrors")
	}
	r.emit(fmt.Sprint(mirrors))
	for ; mirrors > 0 && r.why == ""; mirrors-- {
		r.device()
		r.number()
	}
	r.options(mirrorOptions[:], true)
	// With this, nothing is written any more until LVM has taken the mirror that failed out of the table.
	if r.why == "" && !slices.Contains(r.out, "handle_errors") {
		r.refuse("pvmove is at work, or it goes on without a mirror that failed, which nothing on the disks tells later",
			"wait for the end of pvmove (lvs -a), then load again")
	}
}

// readOrigin: DEVICE (dm-snap.c, origin_status).
func readOrigin(r *rowReader) { r.device() }

var snapshotOptions = [...]option{{name: "discard_zeroes_cow"}, {name: "discard_passdown_origin"}}

// readSnapshot: ORIGIN COW KIND CHUNK, and features (dm-snap.c, snapshot_status; dm-snap-persistent.c, persistent_status).
func readSnapshot(r *rowReader) {
	r.device()
	r.device()
	switch r.word() {
	case "P", "PO":
	case "N":
		r.refuse("what it has saved is known in memory only, and lost in a crash", "choose a volume without such a snapshot")
	default:
		r.fail("word %d is no kind of snapshot", r.at)
	}
	r.number()
	r.options(snapshotOptions[:], true)
}

var thinPoolOptions = [...]option{
	{name: "skip_block_zeroing"}, {name: "ignore_discard"}, {name: "no_discard_passdown"}, {name: "error_if_no_space"},
	{name: "read_only", act: refused, why: "the pool is read-only"},
}

// readThinPool: META DATA BLOCK LOW, and features (dm-thin.c, pool_status). A full pool makes its writers wait for somebody
// who extends it: here it is to tell them.
func readThinPool(r *rowReader) {
	r.device()
	r.device()
	r.number()
	r.number()
	r.options(thinPoolOptions[:], false, "error_if_no_space")
}

// readThin: POOL ID, and perhaps an origin outside of the pool (dm-thin.c, thin_status).
func readThin(r *rowReader) {
	r.device()
	r.number()
	if len(r.in) > 0 {
		r.device()
	}
}

var integrityOptions = [...]option{
	{name: "journal_sectors:"}, {name: "interleave_sectors:"}, {name: "buffer_sectors:"}, {name: "journal_watermark:"},
	{name: "commit_time:"}, {name: "block_size:"}, {name: "sectors_per_bit:"}, {name: "bitmap_flush_interval:"},
	{name: "internal_hash:"}, {name: "allow_discards"}, {name: "fix_padding"}, {name: "fix_hmac"}, {name: "legacy_recalculate"},
	// The superblock knows how far it is.
	{name: "recalculate"},
	// This would begin again.
	{name: "reset_recalculate", act: dropped},
	{name: "meta_device:", act: refused, why: "its checksums lie on a second device"},
	{name: "journal_crypt:", act: refused, why: "its journal is encrypted"},
	{name: "journal_mac:", act: refused, why: "its journal is authenticated with a key"},
}

// readIntegrity: DEVICE START TAG MODE, and options (dm-integrity.c, dm_integrity_status).
func readIntegrity(r *rowReader) {
	r.device()
	r.number()
	r.number()
	switch r.word() {
	case "J", "B", "D":
	case "R":
		r.refuse("it is in recovery mode, which is read-only", elsewhere)
	default:
		r.refuse("gokexec does not know its mode", elsewhere)
	}
	r.options(integrityOptions[:], false)
	for _, word := range r.out {
		if strings.HasPrefix(word, "internal_hash:") && strings.Count(word, ":") > 1 {
			r.refuse("its checksums have a key", elsewhere)
		}
	}
}

var verityOptions = [...]option{
	{name: "ignore_corruption"}, {name: "ignore_zero_blocks"}, {name: "check_at_most_once"}, {name: "try_verify_in_tasklet"},
	{name: "use_fec_from_device", args: "d"}, {name: "fec_roots", args: "w"}, {name: "fec_blocks", args: "w"}, {name: "fec_start", args: "w"},
	// A capture kernel has something better to do than to panic.
	{name: "restart_on_corruption", act: dropped}, {name: "panic_on_corruption", act: dropped},
	{name: "restart_on_error", act: dropped}, {name: "panic_on_error", act: dropped},
	{name: "root_hash_sig_key_desc", act: refused, why: "its signature would have to be in the capture kernel's keyring"},
}

// readVerity: VERSION DATA HASHES, their block sizes, the number of blocks, where the hashes begin, ALGORITHM DIGEST SALT,
// and options (dm-verity-target.c, verity_status). It can only be read.
func readVerity(r *rowReader) {
	r.number()
	r.device()
	r.device()
	for range 4 {
		r.number()
	}
	for range 3 {
		r.word()
	}
	r.options(verityOptions[:], true)
}
