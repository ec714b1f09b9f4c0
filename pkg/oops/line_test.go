package oops

import (
	"testing"
	"time"
)

func TestCleanLine(t *testing.T) {
	const at = 12*time.Second + 345678*time.Microsecond
	for _, test := range []struct {
		in, text string
		stamp    time.Duration
		caller   string
	}{
		{"sysrq: Trigger a crash", "sysrq: Trigger a crash", -1, ""},
		{"[   12.345678] sysrq: Trigger a crash\r\n", "sysrq: Trigger a crash", at, ""},
		{"[   12.345678][ T1234]  vfs_write+0xf8/0x440", "vfs_write+0xf8/0x440", at, "T1234"},
		{"[   12.345678] [    C0] text", "text", at, "C0"},
		{"[   12.345678][T77@C1] text", "text", at, "T77"},
		{"<4>[   12.345678] text", "text", at, ""},
		{"<14>text", "text", -1, ""},
		{"[   12.345678]  [<ffffffff811d4a27>] vfs_write+0xf8/0x440", "[<ffffffff811d4a27>] vfs_write+0xf8/0x440", at, ""},
		{"[c000000012345678] [c000000000012345] vfs_write+0xf8/0x440", "[c000000012345678] [c000000000012345] vfs_write+0xf8/0x440", -1, ""},
		{"[Mon Nov 30 00:58:49 2026] text", "text", -1, ""},
		{"2026-11-30T00:58:49,123456+00:00 text", "text", -1, ""},
		{"2026-11-30T00:58:49.123456+00:00 host kernel: [   12.345678] text", "text", at, ""},
		{"Nov 30 00:58:49 host kernel: [   12.345678] text", "text", at, ""},
		{"Nov  3 00:58:49 host kernel: text", "text", -1, ""},
		{"kern  :warn  : [   12.345678] text", "text", at, ""},
		{"6,1234,12345678,-;text", "text", at, ""},
		{"4,1234,12345678,c,caller=T77;text", "text", at, "T77"},
		{"host login: [   12.345678] text", "text", at, ""},
		{"<NMI>", "<NMI>", -1, ""},
		{"[12.345678", "[12.345678", -1, ""},
		{"[99999999999999999999.0] text", "text", -1, ""},
		{"", "", -1, ""},
	} {
		if got := cleanLine(test.in); got.text != test.text || got.stamp != test.stamp || got.caller != test.caller {
			t.Errorf("cleanLine(%q) = %+v; want %q, %v, %q", test.in, got, test.text, test.stamp, test.caller)
		}
	}
}

func TestParseFrame(t *testing.T) {
	write := Frame{Symbol: "vfs_write", Offset: 0xf8, Size: 0x440}
	with := func(change func(*Frame)) Frame {
		f := write
		change(&f)
		return f
	}
	for _, test := range []struct {
		in   string
		want Frame
	}{
		{" vfs_write+0xf8/0x440", write},
		{"? vfs_write+0xf8/0x440", with(func(f *Frame) { f.Uncertain = true })},
		{"vfs_write+0xf8/0x440 [quux]", with(func(f *Frame) { f.Module = "quux" })},
		{"vfs_write+0xf8/0x440 [quux 0123456789abcdef0123456789abcdef01234567]", with(func(f *Frame) { f.Module = "quux" })},
		{"vfs_write+0xf8/0x440 [0123456789abcdef0123456789abcdef01234567]", write},
		{"vfs_write+0xf8/0x440 (P)", write},
		{"vfs_write+0xf8/0x440 [quux] (PL)", with(func(f *Frame) { f.Module = "quux" })},
		{"vfs_write+0xf8/0x440 fs/read_write.c:123", write},
		{"vfs_write+0xf8/0x440 fs/read_write.c:123 [quux]", with(func(f *Frame) { f.Module = "quux" })},
		{"vfs_write+0xf8/0x440 fs/read_write.c:123 (discriminator 2)", write},
		{"[<ffffffff811d4a27>] ? vfs_write+0xf8/0x440", with(func(f *Frame) { f.Address, f.Uncertain = 0xffffffff811d4a27, true })},
		{"([<000003e000012345>] vfs_write+0xf8/0x440)", with(func(f *Frame) { f.Address, f.Uncertain = 0x3e000012345, true })},
		{"[c000000012345678] [c000000000012345] vfs_write+0xf8/0x440 (unreliable)", with(func(f *Frame) { f.Address, f.Uncertain = 0xc000000000012345, true })},
		{"[<c0123456>] (ksys_read) from [<c0123457>] (vfs_write+0xf8/0x440)", with(func(f *Frame) { f.Address = 0xc0123457 })},
		{"[<c0123456>] (ksys_read [quux]) from [<c0123457>] (vfs_write+0xf8/0x440 [quux])", with(func(f *Frame) { f.Address, f.Module = 0xc0123457, "quux" })},
		{"ksys_read from vfs_write+0xf8/0x440", write},
		{"ksys_read [quux] from vfs_write+0xf8/0x440 [quux]", with(func(f *Frame) { f.Module = "quux" })},
		{"0xffffffffc0123456", Frame{Address: 0xffffffffc0123456}},
		{"? 0xffffffffc0123456", Frame{Address: 0xffffffffc0123456, Uncertain: true}},
	} {
		if got, ok := parseFrame(test.in); !ok || got != test.want {
			t.Errorf("parseFrame(%q) = %+v, %v; want %+v", test.in, got, ok, test.want)
		}
	}
	for _, in := range []string{"", "vfs_write", "vfs_write+0xf8", "vfs_write+0xzz/0x440", "+0xf8/0x440", "vfs_write+0xf8/0x440 is not well", "CPU: 0 PID: 1", "0x0",
		"R13: 0000000000000000 R14: 0000000000000000", "it came from vfs_write+0xf8/0x440 there", "__schedule kernel/sched/core.c:5178 [inline]"} {
		if f, ok := parseFrame(in); ok {
			t.Errorf("parseFrame(%q) = %+v; want no frame", in, f)
		}
	}
}
