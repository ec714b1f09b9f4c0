package stack

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// memberSize of test members is no multiple of 64 KiB, so that versions 0.90 and 1.0 lie apart.
const memberSize = 148 << 10

// superblockAt is where a version lies: super_1_load, and MD_NEW_SIZE_SECTORS of md_p.h.
func superblockAt(metadata string, size int64) int64 {
	switch metadata {
	case "1.2":
		return 4096
	case "1.1":
		return 0
	case "1.0":
		return (size/512 - 16) &^ 7 * 512
	}
	return size&^65535 - 65536
}

// write1 writes struct mdp_superblock_1 (include/uapi/linux/raid/md_p.h) as super_1_sync does; extra features are or-ed in.
func write1(s *superblock, size int64, features uint32) []byte {
	b := make([]byte, superblockBytes)
	p32, p64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	at := superblockAt(s.metadata, size)
	first := uint64(at+superblockBytes) / 512
	sectors := uint64(size)/512 - first
	if s.metadata == "1.0" {
		first, sectors = 0, uint64(at)/512
	}
	if s.recovering {
		features |= featureRecovery
	}
	if s.replacement {
		features |= featureReplacement
	}
	p32(b, mdMagic)
	p32(b[4:], 1)
	p32(b[8:], features)
	copy(b[16:], unspell(s.uuid))
	copy(b[32:], "host:0")
	p32(b[72:], uint32(s.level))
	p32(b[76:], s.layout)
	p64(b[80:], sectors)
	p32(b[88:], s.chunk)
	p32(b[92:], uint32(s.disks))
	p64(b[128:], first)
	p64(b[136:], sectors)
	p64(b[144:], uint64(at)/512)
	p32(b[160:], uint32(s.number))
	copy(b[168:], unspell(s.member))
	p64(b[200:], s.events)
	if s.clean {
		p64(b[208:], maxSector)
	}
	p32(b[220:], uint32(len(s.roles)))
	for i, r := range s.roles {
		binary.LittleEndian.PutUint16(b[256+2*i:], r)
	}
	sum1(b)
	return b
}

// sum1 writes the checksum of version 1 for the count of roles that is there.
func sum1(b []byte) {
	n := min(256+2*int(binary.LittleEndian.Uint32(b[220:])), len(b))
	binary.LittleEndian.PutUint32(b[216:], checksum1(b[:n]))
}

// write090 writes mdp_super_t as super_90_sync does.
func write090(s *superblock, order binary.ByteOrder) []byte {
	b := make([]byte, superblockBytes)
	put := func(word int, v uint32) { order.PutUint32(b[4*word:], v) }
	id := unspell(s.uuid)
	high, low := word090Events+1, word090Events
	if order == binary.BigEndian {
		high, low = low, high
	}
	put(word090Magic, mdMagic)
	put(word090Minor, 90)
	put(word090UUID0, binary.BigEndian.Uint32(id))
	for i := range 3 {
		put(word090UUID1+i, binary.BigEndian.Uint32(id[4+4*i:]))
	}
	put(word090Level, uint32(s.level))
	put(word090Size, 64)
	put(word090Disks, uint32(s.disks))
	put(high, uint32(s.events>>32))
	put(low, uint32(s.events))
	if s.clean {
		put(word090State, state090Clean)
	}
	put(word090Layout, s.layout)
	put(word090Chunk, s.chunk<<9)
	active, working, failed := uint32(0), uint32(0), uint32(0)
	for i, r := range s.roles {
		is := [3]uint32{uint32(i), uint32(i), 0}
		switch {
		case int(r) < s.disks:
			is = [3]uint32{uint32(i), uint32(r), 1<<1 | disk090Sync}
			active, working = active+1, working+1
		case r == roleFaulty:
			is[2] = disk090Faulty | 1<<3
			failed++
		case i >= s.disks:
			is = [3]uint32{}
		}
		for w, v := range map[int]uint32{word090Number: is[0], word090Place: is[1], word090Is: is[2]} {
			put(word090Members+descriptor090*i+w, v)
			if i == s.number {
				put(word090This+w, v)
			}
		}
	}
	put(word090This+word090Number, uint32(s.number))
	put(34, active)
	put(35, working)
	put(36, failed)
	put(word090Sum, checksum090(b, order))
	return b
}

func unspell(uuid string) []byte {
	b, _ := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	return append(b, make([]byte, 16-len(b))...)
}

// plant writes a superblock to where it belongs on an empty member.
func plant(s *superblock, order binary.ByteOrder) []byte {
	disk := make([]byte, memberSize)
	at := disk[superblockAt(s.metadata, memberSize):]
	if s.metadata == "0.90" {
		copy(at, write090(s, order))
	} else {
		copy(at, write1(s, memberSize, 0))
	}
	return disk
}

func sample(metadata string) *superblock {
	s := &superblock{
		metadata: metadata, uuid: "01020304-0506-0708-090a-0b0c0d0e0f10", member: "a1a2a3a4-a5a6-a7a8-a9aa-abacadaeafb0",
		level: 5, layout: 2, chunk: 128, disks: 3, events: 1<<32 + 17, clean: true, number: 1, roles: []uint16{0, 1, roleFaulty, 2},
	}
	if metadata == "0.90" {
		s.member = ""
		s.roles = make([]uint16, members090)
		for i := range s.roles {
			s.roles[i] = roleSpare
		}
		copy(s.roles, []uint16{0, 1, 2, roleFaulty})
	}
	return s
}

func TestSuperblock(t *testing.T) {
	for _, metadata := range []string{"1.2", "1.1", "1.0", "0.90"} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			want := sample(metadata)
			got, err := readSuperblock(bytes.NewReader(plant(want, order)), memberSize, metadata)
			if err != nil || !reflect.DeepEqual(&got, want) {
				t.Errorf("%s %s: %+v, %v; want %+v", metadata, order, got, err, want)
			}
			// pkg/blkid reads the same.
			c, err := blkid.Probe(bytes.NewReader(plant(want, order)), memberSize)
			if err != nil || len(c.Signatures) != 1 || c.Signatures[0].UUID != got.set() {
				t.Errorf("%s %s: blkid: %+v, %v; want UUID %s", metadata, order, c, err, got.set())
			}
		}
	}
	s := sample("1.2")
	if s.set() != s.uuid || s.device() != s.member {
		t.Errorf("set %q, device %q", s.set(), s.device())
	}
	if s = sample("0.90"); s.set() != s.uuid || s.device() != "1" {
		t.Errorf("0.90: set %q, device %q", s.set(), s.device())
	}
}

func TestSuperblockRefused(t *testing.T) {
	p32, p64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	for _, c := range []struct {
		name, metadata string
		damage         func(b []byte)
		sum            bool // right again after that
		want           string
	}{
		{"magic", "1.2", func(b []byte) { b[0]++ }, true, "magic"},
		{"version", "1.2", func(b []byte) { b[4]++ }, true, "version 2"},
		{"checksum", "1.2", func(b []byte) { b[216]++ }, false, "checksum"},
		{"events damaged", "1.2", func(b []byte) { b[200]++ }, false, "checksum"},
		{"role damaged", "1.2", func(b []byte) { b[256]++ }, false, "checksum"},
		{"too many roles", "1.2", func(b []byte) { p32(b[220:], maxRoles+1) }, true, "1921 members"},
		{"of another place", "1.0", func(b []byte) { p64(b[144:], 8) }, true, "that of sector 8"},
		{"reshape", "1.2", func(b []byte) { p32(b[8:], featureReshape) }, true, "being reshaped"},
		{"cluster", "1.2", func(b []byte) { p32(b[8:], featureBitmap|featureClustered) }, true, "shared by a cluster"},
		{"journal", "1.2", func(b []byte) { p32(b[8:], featureJournal) }, true, "write journal"},
		{"journal device", "1.2", func(b []byte) { binary.LittleEndian.PutUint16(b[260:], roleJournal) }, true, "write journal"},
		{"PPL", "1.2", func(b []byte) { p32(b[8:], featurePPL) }, true, "partial parity log"},
		{"PPLs", "1.2", func(b []byte) { p32(b[8:], featureManyPPLs) }, true, "partial parity log"},
		{"new feature", "1.2", func(b []byte) { p32(b[8:], 1<<13) }, true, "features 0x2000"},
		{"padding", "1.2", func(b []byte) { b[255] = 1 }, true, "padding"},
		{"block size", "1.2", func(b []byte) { p32(b[224:], 513) }, true, "logical block size"},
		{"layout of a raid0", "1.2", func(b []byte) { p32(b[8:], featureLayout0) }, true, "layout of a raid0"},
		{"data over the superblock", "1.2", func(b []byte) { p64(b[128:], 8) }, true, "data from sector 8"},
		{"more than the member holds", "1.2", func(b []byte) { p64(b[136:], memberSize/512) }, true, "sectors of data"},
		{"no UUID", "1.2", func(b []byte) { clear(b[16:32]) }, true, "no UUID"},
		{"no disks", "1.2", func(b []byte) { p32(b[92:], 0) }, true, "0 disks"},
		{"multipath", "1.2", func(b []byte) { p32(b[72:], 0xfffffffc) }, true, "level -4"},
		{"0.90: magic", "0.90", func(b []byte) { b[0]++ }, true, "magic"},
		{"0.90: checksum", "0.90", func(b []byte) { b[4*word090Events]++ }, false, "checksum"},
		{"0.90: reshape", "0.90", func(b []byte) { b[4*word090Minor] = 91 }, true, "being reshaped"},
		{"0.90: version", "0.90", func(b []byte) { b[4*word090Minor] = 92 }, true, "version 0.92"},
		{"0.90: number", "0.90", func(b []byte) { b[4*word090This] = 27 }, true, "number 27"},
		{"0.90: size", "0.90", func(b []byte) { p32(b[4*word090Size:], 1<<20) }, true, "KiB of data"},
	} {
		disk := plant(sample(c.metadata), binary.LittleEndian)
		b := disk[superblockAt(c.metadata, memberSize):][:superblockBytes]
		c.damage(b)
		if c.sum && c.metadata == "0.90" {
			p32(b[4*word090Sum:], checksum090(b, binary.LittleEndian))
		} else if c.sum {
			sum1(b)
		}
		_, err := readSuperblock(bytes.NewReader(disk), memberSize, c.metadata)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q in it", c.name, err, c.want)
		}
	}
	for _, metadata := range []string{"external:imsm", "1.3", "", "0.91"} {
		if _, err := readSuperblock(bytes.NewReader(nil), memberSize, metadata); err == nil || !strings.Contains(err.Error(), "only 0.90") {
			t.Errorf("metadata %q: %v", metadata, err)
		}
	}
	for _, metadata := range []string{"0.90", "1.0", "1.1", "1.2"} {
		for _, size := range []int64{0, 512, 4096, 65535} {
			if _, err := readSuperblock(bytes.NewReader(make([]byte, size)), size, metadata); err == nil {
				t.Errorf("%s of %d bytes of zeros was read", metadata, size)
			}
		}
	}
}

// Superblocks of Linux 6.19 and newer name the logical block size.
func TestSuperblockOfNewKernels(t *testing.T) {
	disk := plant(sample("1.2"), binary.LittleEndian)
	b := disk[4096:][:superblockBytes]
	binary.LittleEndian.PutUint32(b[224:], 4096)
	sum1(b)
	if _, err := readSuperblock(bytes.NewReader(disk), memberSize, "1.2"); err != nil {
		t.Error(err)
	}
}

func TestBitmaps(t *testing.T) {
	for _, c := range []struct {
		version, nodes uint32
		want           string
	}{{4, 0, ""}, {3, 0, ""}, {5, 0, "cluster"}, {4, 2, "cluster"}, {6, 0, "version 6"}} {
		for _, metadata := range []string{"1.2", "1.0", "0.90"} {
			disk := plant(sample(metadata), binary.LittleEndian)
			at := superblockAt(metadata, memberSize)
			b := disk[at:]
			bitmap := disk[at+4096:]
			if metadata == "0.90" {
				binary.LittleEndian.PutUint32(b[4*word090State:], state090Clean|state090Bitmap)
				binary.LittleEndian.PutUint32(b[4*word090Sum:], checksum090(b, binary.LittleEndian))
			} else {
				bitmap = disk[at-1024:]
				binary.LittleEndian.PutUint32(b[8:], featureBitmap)
				binary.LittleEndian.PutUint32(b[96:], 0xfffffffe) // 2 sectors before
				sum1(b[:superblockBytes])
			}
			copy(bitmap, "bitm")
			binary.LittleEndian.PutUint32(bitmap[4:], c.version)
			binary.LittleEndian.PutUint32(bitmap[68:], c.nodes)
			_, err := readSuperblock(bytes.NewReader(disk), memberSize, metadata)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, bitmap version %d of %d nodes: %v; want %q", metadata, c.version, c.nodes, err, c.want)
			}
		}
	}
}

// mdadm --examine reads image files, too: it takes what the tests write for what it says.
func TestMdadmReadsWhatIsWritten(t *testing.T) {
	mdadm, err := exec.LookPath("mdadm")
	if err != nil {
		mdadm = "/usr/sbin/mdadm"
		if _, err := os.Stat(mdadm); err != nil {
			t.Skip("no mdadm")
		}
	}
	for _, metadata := range []string{"1.2", "1.1", "1.0", "0.90"} {
		s := sample(metadata)
		image := filepath.Join(t.TempDir(), "member")
		if err := os.WriteFile(image, plant(s, binary.LittleEndian), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(mdadm, "--examine", image).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", metadata, err, out)
			continue
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(out)) {
			key, value, _ := strings.Cut(line, " : ")
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
		id := strings.ReplaceAll(s.uuid, "-", "")
		want := map[string]string{
			"Raid Level": "raid5", "Raid Devices": "3", "Layout": "left-symmetric", "Chunk Size": "64K", "State": "clean",
			"Events": strconv.FormatUint(s.events, 10),
		}
		if metadata == "0.90" {
			want["UUID"] = id[:8] + ":" + id[8:16] + ":" + id[16:24] + ":" + id[24:]
		} else {
			member := strings.ReplaceAll(s.member, "-", "")

			want["Device Role"] = "Active device 1"
			want["Array UUID"] = id[:8] + ":" + id[8:16] + ":" + id[16:24] + ":" + id[24:]
			want["Device UUID"] = member[:8] + ":" + member[8:16] + ":" + member[16:24] + ":" + member[24:]
			want["Array State"] = "AAA ('A' == active, '.' == missing, 'R' == replacing)"
		}
		for key, value := range want {
			if got := fields[key]; got != value && !(key == "UUID" && strings.HasPrefix(got, value)) {
				t.Errorf("%s: mdadm says %s %q; want %q", metadata, key, got, value)
			}
		}
		if !strings.Contains(string(out), "- correct") || !strings.Contains(string(out), s.metadata) {
			t.Errorf("%s: mdadm says\n%s", metadata, out)
		}
	}
}

func FuzzSuperblock(f *testing.F) {
	for _, metadata := range []string{"1.2", "1.1", "1.0", "0.90"} {
		s := sample(metadata)
		if metadata == "0.90" {
			f.Add(write090(s, binary.LittleEndian), metadata)
			f.Add(write090(s, binary.BigEndian), metadata)
			continue
		}
		s.recovering, s.replacement = true, true
		f.Add(write1(s, memberSize, featureBadBlocks), metadata)
	}
	f.Fuzz(func(t *testing.T, b []byte, metadata string) {
		b = append(b, make([]byte, superblockBytes)...)[:superblockBytes]
		// Right checksums, or the fuzzer would see nothing but those.
		order := binary.ByteOrder(binary.LittleEndian)
		if metadata != "0.90" {
			sum1(b)
		} else {
			if order.Uint32(b) != mdMagic {
				order = binary.BigEndian
			}
			order.PutUint32(b[4*word090Sum:], checksum090(b, order))
		}
		disk := make([]byte, memberSize)
		copy(disk[superblockAt(metadata, memberSize):], b)
		s, err := readSuperblock(bytes.NewReader(disk), memberSize, metadata)
		if err != nil {
			return
		}
		if metadata == "0.90" && s.member != "" || len(s.uuid) != 36 {
			t.Fatalf("%+v", s)
		}
		again, err := readSuperblock(bytes.NewReader(plant(&s, order)), memberSize, metadata)
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("written and read again: %+v, %v; was %+v", again, err, s)
		}
	})
}
