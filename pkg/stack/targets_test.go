package stack

import (
	"slices"
	"strings"
	"testing"
)

func TestClone(t *testing.T) {
	for _, c := range []struct{ kind, args, want string }{ // want "": as it is
		// Tables of running machines.
		{"linear", "259:2 2048", ""},
		{"linear", "@0 2048", ""},
		{"striped", "2 128 259:3 100352 259:1 2048", ""},
		{"raid", "raid1 3 0 region_size 1024 2 254:2 254:3 254:4 254:5", ""},
		{"raid", "raid5_ls 3 128 region_size 1024 3 254:7 254:8 254:9 254:10 254:11 254:12", ""},
		{"raid", "raid1 3 0 region_size 1024 2 - - 254:3 254:2", ""},
		{"mirror", "disk 2 254:7 1024 2 254:8 0 254:9 0 1 handle_errors", ""},
		{"snapshot-origin", "254:12", ""},
		{"snapshot", "254:12 254:13 P 8", ""},
		{"thin-pool", "254:0 254:1 128 0 0 ", "254:0 254:1 128 0 1 error_if_no_space"},
		{"thin", "254:2 1", ""},
		{"linear", "254:2 0", ""},
		{"crypt", "aes-xts-plain64 :64:logon:cryptsetup:7c8b-d0 0 8:2 32768", ""},
		{"multipath", "1 queue_if_no_path 0 2 1 service-time 0 1 2 8:0 1 1 service-time 0 1 2 8:16 1 1", "0 0 2 1 service-time 0 1 2 8:0 1 1 service-time 0 1 2 8:16 1 1"},

		// As the kernel's sources print them.
		{"zero", "", ""},
		{"unstriped", "2 128 0 8:0 0", ""},
		{"mirror", "core 2 1024 nosync 2 254:8 0 254:9 0 1 handle_errors ", "core 2 1024 nosync 2 254:8 0 254:9 0 1 handle_errors"},
		{"snapshot", "254:12 254:13 PO 8 2 discard_zeroes_cow discard_passdown_origin", ""},
		{"thin", "254:2 16777215 254:9", ""},
		{"thin-pool", "@0 @1 128 32768 2 skip_block_zeroing no_discard_passdown ", "@0 @1 128 32768 3 skip_block_zeroing no_discard_passdown error_if_no_space"},
		{"thin-pool", "@0 @1 128 0 1 error_if_no_space ", "@0 @1 128 0 1 error_if_no_space"},
		{"raid", "raid1 10 0 sync rebuild 1 min_recovery_rate 1 max_recovery_rate 2000 region_size 1024 2 @0 @1 @2 @3", "raid1 3 0 region_size 1024 2 @0 @1 @2 @3"},
		{"raid", "raid1 4 0 nosync region_size 1024 2 @0 @1 @2 @3", ""},
		{"raid", "raid1 7 0 rebuild 0 rebuild 2 region_size 1024 3 @0 @1 @2 @3 @4 @5", "raid1 3 0 region_size 1024 3 @0 @1 @2 @3 @4 @5"},
		{"raid", "raid1 7 0 write_mostly 1 max_write_behind 128 region_size 1024 2 @0 @1 @2 @3", "raid1 5 0 write_mostly 1 region_size 1024 2 @0 @1 @2 @3"},
		{"raid", "raid6_zr 7 128 daemon_sleep 5000 stripe_cache 4096 region_size 1024 4 @0 @1 @2 @3 @4 @5 @6 @7", "raid6_zr 5 128 daemon_sleep 5000 region_size 1024 4 @0 @1 @2 @3 @4 @5 @6 @7"},
		{"raid", "raid10 8 128 region_size 1024 raid10_copies 2 raid10_format near raid10_use_near_sets 4 @0 @1 @2 @3 @4 @5 @6 @7", ""},
		{"raid", "raid0 1 128 2 - @0 - @1", ""},
		{"raid", "raid0 1 128 2 @0 @1 @2 @3", ""},
		{"crypt", "aes-cbc-essiv:sha256 000102030405060708090a0b0c0d0e0f 0 8:2 4096 1 allow_discards", ""},
		{"crypt", "capi:authenc(hmac(sha256),xts(aes))-random :96:user:a:8:0 0 254:3 0 6 allow_discards submit_from_crypt_cpus no_read_workqueue integrity:48:aead sector_size:4096 iv_large_sectors", ""},
		{"crypt", "cipher_null-ecb - 0 8:2 4096", ""},
		{"integrity", "8:2 0 4 J 7 journal_sectors:7880 interleave_sectors:32768 buffer_sectors:128 journal_watermark:50 commit_time:10000 fix_padding internal_hash:crc32c", ""},
		{"integrity", "8:2 0 4 B 9 recalculate reset_recalculate allow_discards journal_sectors:7880 interleave_sectors:32768 buffer_sectors:128 sectors_per_bit:32768 bitmap_flush_interval:10000 internal_hash:crc32c", "8:2 0 4 B 8 recalculate allow_discards journal_sectors:7880 interleave_sectors:32768 buffer_sectors:128 sectors_per_bit:32768 bitmap_flush_interval:10000 internal_hash:crc32c"},
		{"integrity", "8:2 0 48 D 4 block_size:4096 journal_sectors:7880 interleave_sectors:32768 buffer_sectors:128", ""},
		{"multipath", "6 queue_if_no_path pg_init_retries 50 retain_attached_hw_handler queue_mode bio 1 alua 2 2 service-time 0 1 2 8:0 1 1 round-robin 0 2 1 8:16 1000 8:32 1000 ", "2 queue_mode bio 0 2 1 service-time 0 1 2 8:0 1 1 round-robin 0 2 1 8:16 1000 8:32 1000"},
		{"multipath", "0 0 1 1 historical-service-time 2 1024 0 1 2 @0 1 1", ""},
		{"verity", "1 8:1 8:2 4096 4096 262144 1 sha256 4392712ba01368efdf14b05c76f9e4df0d53664630b5d48632ed17a137f39076 - 2 restart_on_corruption ignore_zero_blocks", "1 8:1 8:2 4096 4096 262144 1 sha256 4392712ba01368efdf14b05c76f9e4df0d53664630b5d48632ed17a137f39076 - 1 ignore_zero_blocks"},
		{"verity", "1 8:1 8:1 4096 4096 262144 262144 sha256 4392 aa00 1 panic_on_corruption", "1 8:1 8:1 4096 4096 262144 262144 sha256 4392 aa00"},
		{"verity", "1 8:1 8:1 4096 4096 262144 262144 sha256 4392 aa00 8 use_fec_from_device 8:3 fec_roots 2 fec_blocks 100 fec_start 0", ""},
	} {
		want := c.want
		if want == "" {
			want = c.args
		}
		row := Row{Start: 8, Length: 1 << 20, Type: c.kind, Args: c.args}
		if why, instead := Refused(row); why != "" || instead != "" {
			t.Errorf("%s %s: refused: %s; %s", c.kind, c.args, why, instead)
		} else if got := Clone(row); got != (Row{8, 1 << 20, c.kind, want}) {
			t.Errorf("%s %s:\n   %s\nnot %s", c.kind, c.args, got.Args, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ kind, args, want string }{
		{"cache", "254:1 254:2 254:3 128 1 writethrough smq 0", "cache device"},
		{"writecache", "s 8:0 8:1 4096 0", "cache device"},
		{"vdo", "V4 8:0 1 4096 1 1", "memory"},
		{"snapshot-merge", "254:12 254:13 P 8", "merged"},
		{"era", "8:0 8:1 1", "backup"},
		{"clone", "8:0 8:1 8:2 8", "copied"},
		{"zoned", "8:0", "zoned"},
		{"ebs", "8:0 0 1", "never tried"},
		{"switch", "2 128 0 8:0 0 8:1 0", "messages"},
		{"flakey", "8:0 0 1 1", "tests"}, {"dust", "8:0 0 512", "tests"}, {"delay", "8:0 0 1", "tests"}, {"log-writes", "8:0 8:1", "tests"}, {"error", "", "tests"},
		{"dedup", "8:0", "does not know"},
		{"", "", "does not know"},
		{"thin-pool", "8:0 8:1 128 0 1 read_only", "read-only"},
		{"snapshot", "8:0 8:1 N 8", "memory only"},
		{"mirror", "userspace 4 uuid clustered-disk 8:0 1024 2 8:1 0 8:2 0 1 handle_errors", "daemon"},
		{"mirror", "core 1 1024 2 8:1 0 8:2 0", "pvmove"},
		{"mirror", "core 1 1024 2 8:1 0 8:2 0 2 handle_errors keep_log", "failed"},
		{"raid", "raid5_ls 7 128 region_size 1024 journal_dev 8:9 journal_mode writeback 3 8:1 8:2 8:3 8:4 8:5 8:6", "journal"},
		{"raid", "raid5_ls 5 128 region_size 1024 delta_disks 1 3 8:1 8:2 8:3 8:4 8:5 8:6", "being reshaped"},
		{"raid", "raid5_ls 5 128 region_size 1024 data_offset 8192 3 8:1 8:2 8:3 8:4 8:5 8:6", "was reshaped"},
		{"raid", "raid1 1 0 2 - 8:2 - 8:4", "no superblocks"},
		{"raid", "raid0 1 128 2 - 8:2 - -", "missing"},
		{"integrity", "8:2 0 4 J 6 meta_device:8:16 journal_sectors:1 interleave_sectors:1 buffer_sectors:1 journal_watermark:1 commit_time:1", "second device"},
		{"integrity", "8:2 0 4 J 4 journal_sectors:1 interleave_sectors:1 buffer_sectors:1 journal_crypt:ctr(aes):00ff", "encrypted"},
		{"integrity", "8:2 0 4 J 4 journal_sectors:1 interleave_sectors:1 buffer_sectors:1 journal_mac:hmac(sha256):00ff", "with a key"},
		{"integrity", "8:2 0 4 J 4 journal_sectors:1 interleave_sectors:1 buffer_sectors:1 internal_hash:hmac(sha256):00ff", "have a key"},
		{"integrity", "8:2 0 4 R 0", "read-only"},
		{"integrity", "8:2 0 4 I 0", "mode"},
		{"verity", "1 8:1 8:2 4096 4096 262144 1 sha256 4392 - 2 root_hash_sig_key_desc key", "signature"},
		{"multipath", "0 0 0 0", "no paths"},
		{"multipath", "1 queue_if_no_path 0 1 1 service-time 0 0 2", "no group to begin with|no paths|no count"},

		// What no kernel prints.
		{"linear", "", "ends after 0"},
		{"linear", "sda 0", "no device number"},
		{"linear", "8:0 1:2", "looks like a device"},
		{"linear", "8:0 0x10", "no number"},
		{"linear", "8:0 0 0", "words after its end"},
		{"linear", "8:0 \\0", "byte 0x5c"},
		{"linear", "8:0\u00a00", "byte 0xc2"},
		{"striped", "0 128", "0 stripes"},
		{"striped", "3 128 8:0 0 8:1 0", "ends after"},
		{"zero", "1", "words after"},
		{"thin-pool", "8:0 8:1 128 0", "ends after"},
		{"thin-pool", "8:0 8:1 128 0 1 new_feature", "option that gokexec does not know"},
		{"thin-pool", "8:0 8:1 128 0 2 skip_block_zeroing", "no count"},
		{"raid", "raid1 3 0 region_size 1024 3 8:1 8:2 8:3 8:4", "no count"},
		{"raid", "raid1 2 0 region_size 1024 2 8:1 8:2 8:3 8:4", "ends"},
		{"raid", "raid1 3 0 region_size 8:9 2 8:1 8:2 8:3 8:4", "looks like a device"},
		{"raid", "raid1 1 0 2 8:1 - 8:3 8:4", "no device number"},
		{"raid", "raid1 1 0 0", "0 legs"},
		{"mirror", "disk 1 8:0 2 8:1 0 8:2 0 1 handle_errors", ""},
		{"multipath", "0 0 1 1 service-time 0 1 2 8:0 1", "ends after"},
		{"multipath", "0 0 1 1 service-time 1 8:9 1 0 8:0", "looks like a device"},
		{"crypt", "aes-xts-plain64 00f 0 8:2 0", "hexadecimal"},
		{"crypt", "aes-xts-plain64 :64:magic:name 0 8:2 0", "kind of key"},
		{"crypt", "aes-xts-plain64 :64:logon:two words 0 8:2 0", "no number"},
		{"crypt", "aes-xts-plain64 8:1 0 8:2 0", "looks like a device"},
	} {
		row := Row{0, 8, c.kind, c.args}
		why, instead := Refused(row)
		if why == "" || instead == "" || !slices.ContainsFunc(strings.Split(c.want, "|"), func(w string) bool { return strings.Contains(why, w) }) {
			t.Errorf("%s %s: %q, %q; want %q", c.kind, c.args, why, instead, c.want)
		}
		if got := Clone(row); got != row {
			t.Errorf("%s %s: made as %s", c.kind, c.args, got.Args)
		}
	}
	if why, _ := Refused(Row{Type: "linear", Args: strings.Repeat("x", maxArgs+1)}); !strings.Contains(why, "at most") {
		t.Error(why)
	}
}

func TestRefusedArray(t *testing.T) {
	for _, c := range []struct{ metadata, level, policy, want string }{
		{"1.2", "raid1", "bitmap", ""}, {"0.90", "raid0", "none", ""}, {"1.0", "linear", "unknown", ""}, {"1.1", "raid6", "resync", ""},
		{"external:imsm", "container", "unknown", "mdmon"}, {"external:/md127/0", "raid1", "resync", "mdmon"}, {"none", "raid0", "none", "no superblocks"},
		{"1.2", "multipath", "none", "never tried"}, {"1.2", "raid5", "journal", "write journal"}, {"1.2", "raid5", "ppl", "parity log"},
	} {
		why, instead := RefusedArray(c.metadata, c.level, c.policy)
		if c.want == "" && why != "" || !strings.Contains(why, c.want) || (why == "") != (instead == "") {
			t.Errorf("%+v: %q, %q", c, why, instead)
		}
	}
}

func TestWithoutPaths(t *testing.T) {
	row := Row{0, 8, "multipath", "1 queue_if_no_path 1 alua 2 2 service-time 0 2 2 8:0 1 1 8:16 1 1 round-robin 0 1 1 8:32 1000"}
	for _, c := range []struct {
		gone string
		want string
	}{
		{"", "0 0 2 1 service-time 0 2 2 8:0 1 1 8:16 1 1 round-robin 0 1 1 8:32 1000"},
		{"8:0", "0 0 2 1 service-time 0 1 2 8:16 1 1 round-robin 0 1 1 8:32 1000"},
		{"8:0 8:16", "0 0 1 1 round-robin 0 1 1 8:32 1000"},
		{"8:32", "0 0 1 1 service-time 0 2 2 8:0 1 1 8:16 1 1"},
		{"8:0 8:16 8:32", ""},
	} {
		got, err := withoutPaths(row, func(device string) bool { return slices.Contains(strings.Fields(c.gone), device) })
		if got.Args != c.want || (err == nil) != (c.want != "") {
			t.Errorf("without %q: %s, %v; want %s", c.gone, got.Args, err, c.want)
		} else if err == nil && Clone(got) != got {
			t.Errorf("without %q: %s is made as %s", c.gone, got.Args, Clone(got).Args)
		}
	}
	if _, err := withoutPaths(Row{Type: "linear", Args: "8:0 0"}, nil); err == nil {
		t.Error("the paths of a linear")
	}
}

func TestWithoutLegs(t *testing.T) {
	row := Row{0, 8, "raid", "raid5_ls 3 128 region_size 1024 3 8:1 8:2 8:3 8:4 - -"}
	legs, err := raidLegs(row)
	if want := []legDevices{{"8:1", "8:2"}, {"8:3", "8:4"}, {"-", "-"}}; err != nil || !slices.Equal(legs, want) {
		t.Errorf("%v, %v; want %v", legs, err, want)
	}
	got, err := WithoutLegs(row, func(leg int) bool { return leg == 0 })
	if want := "raid5_ls 3 128 region_size 1024 3 - - 8:3 8:4 - -"; err != nil || got.Args != want {
		t.Errorf("%s, %v; want %s", got.Args, err, want)
	}
	for _, row := range []Row{{Type: "linear", Args: "8:0 0"}, {Type: "raid", Args: "raid1"}} {
		if _, err := WithoutLegs(row, nil); err == nil {
			t.Errorf("legs of %+v", row)
		}
	}
}

// deviceWords are the words of a row that the recorder takes for devices.
func deviceWords(row Row) (list []string) {
	for word := range strings.FieldsSeq(row.Args) {
		if deviceWord(word) {
			list = append(list, word)
		}
	}
	return list
}

func FuzzClone(f *testing.F) {
	for _, c := range [][2]string{
		{"linear", "259:2 2048"}, {"striped", "2 128 259:3 100352 259:1 2048"}, {"unstriped", "2 128 0 8:0 0"},
		{"mirror", "disk 3 254:7 1024 sync 2 254:8 0 254:9 0 1 handle_errors"}, {"snapshot", "254:12 254:13 P 8 1 discard_zeroes_cow"},
		{"thin-pool", "254:0 254:1 128 0 1 skip_block_zeroing "}, {"thin", "254:2 1 @3"},
		{"raid", "raid1 10 0 nosync rebuild 1 write_mostly 1 stripe_cache 10 region_size 1024 2 254:2 254:3 - -"},
		{"raid", "raid0 1 128 2 - 8:1 - 8:2"},
		{"crypt", "aes-xts-plain64 :64:logon:cryptsetup:7c8b-d0 0 8:2 32768 2 allow_discards sector_size:4096"},
		{"crypt", "aes-cbc-essiv:sha256 0001 0 8:2 4096"},
		{"integrity", "8:2 0 4 J 4 reset_recalculate journal_sectors:7880 interleave_sectors:32768 internal_hash:crc32c"},
		{"multipath", "3 queue_if_no_path queue_mode bio 1 alua 2 1 service-time 0 1 2 8:0 1 1 service-time 0 1 2 8:16 1 1"},
		{"multipath", "0 0 3 3 a 0 0 0 b 0 1 0 8:1 c 0 1 0 8:2"},
		{"verity", "1 8:1 8:2 4096 4096 262144 1 sha256 4392 - 3 panic_on_error use_fec_from_device 8:3"},
		{"cache", "1 2 3"},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, kind, args string) {
		row := Row{3, 4, kind, args}
		got := Clone(row)
		if got.Start != row.Start || got.Length != row.Length || got.Type != row.Type {
			t.Fatalf("%+v of %+v", got, row)
		}
		if !slices.Equal(deviceWords(got), deviceWords(row)) {
			t.Fatalf("devices %q of %q", deviceWords(got), deviceWords(row))
		}
		if again := Clone(got); again != got {
			t.Fatalf("%q at first, %q then", got.Args, again.Args)
		}
		why, instead := Refused(row)
		if (why == "") != (instead == "") {
			t.Fatalf("%q, %q", why, instead)
		}
		if again, _ := Refused(got); (why == "") != (again == "") {
			t.Fatalf("%q is refused: %q; and before: %q", got.Args, again, why)
		}
		if why == "" && kind == "raid" {
			without, err := WithoutLegs(got, func(int) bool { return false })
			if err != nil || without != got {
				t.Fatalf("%+v without no leg: %+v, %v", got, without, err)
			}
		}
		if why == "" && kind == "multipath" {
			without, err := withoutPaths(got, func(string) bool { return false })
			if err != nil || without != got {
				t.Fatalf("%+v without no path: %+v, %v", got, without, err)
			}
		}
	})
}
