package kmod

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// indexed is a tree as depmod leaves it, with empty module files: only the
// indexes may be read.
func indexed(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range files {
		root["lib/modules/"+testVersion+"/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestClosure(t *testing.T) {
	dep := func(dep, soft, alias string) fs.FS {
		return indexed(map[string]string{
			"modules.dep": dep, "modules.softdep": soft, "modules.alias": alias,
			"modules.builtin": "kernel/built-in.ko\n",
		})
	}
	tests := []struct {
		name     string
		root     fs.FS
		required string
		optional string
		want     string
		wantErr  string
	}{
		{"nothing", packed(t), "", "", "", ""},
		{"chain over three packings", packed(t), "nvme", "", "nvme_auth nvme_core nvme", ""},
		{"ring before virtio", packed(t), "virtio_blk", "", "virtio_ring virtio virtio_blk", ""},
		{"either spelling", packed(t), "virtio-blk sd-mod", "", "virtio_ring virtio virtio_blk scsi_mod sd_mod", ""},
		{"software before hardware", packed(t), "ext4", "", "jbd2 mbcache crc16 crc32c_generic? ext4", ""},
		{"by alias", packed(t), "fs-ext3", "", "jbd2 mbcache crc16 crc32c_generic? ext4", ""},
		{"post", packed(t), "dm-mod", "", "dm_mod dm_log?", ""},
		{"built in", packed(t), "virtio_pci binfmt-script fs-xfs", "", "", ""},
		{"optional", packed(t), "", "nvme no_such", "nvme_auth? nvme_core? nvme?", ""},
		{"optional, then required", packed(t), "virtio", "virtio_blk", "virtio_ring virtio virtio_blk?", ""},
		{"unknown", packed(t), "virtio_blc", "", "", `module "virtio_blc": no such module in kernel 6.12.0-test; near it: virtio_blk`},
		{"modules.dep", dep("a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n", "", ""), "a", "", "c b a", ""},
		{"modules.softdep", dep("a.ko:\nb.ko:\nc.ko: a.ko\n", "softdep c pre: b post: built_in none\n", ""), "c", "", "a b? c", ""},
		{"soft dependency becomes required", dep("a.ko:\nb.ko: a.ko\nc.ko:\n", "softdep c pre: b\n", ""), "c b", "", "a b c", ""},
		{"alias in softdep", dep("kernel/crypto/a.ko:\nkernel/drivers/b.ko:\nc.ko:\n", "softdep c pre: x-y\n", "alias x_y a\nalias x-y b\n"), "c", "", "a? c", ""},
		{"alias in softdep, and a built-in module of that name", dep("kernel/crypto/a.ko:\nc.ko:\n", "softdep c pre: built-in\n", "alias built_in a\n"), "c", "", "a? c", ""},
		{"cycle", dep("a.ko: b.ko\nb.ko: c.ko\nc.ko: a.ko\n", "", ""), "a", "", "", "modules need each other: a -> b -> c -> a"},
		{"itself", dep("a.ko: a.ko\n", "", ""), "a", "", "", "modules need each other: a -> a"},
		{"soft cycle is broken", dep("a.ko:\nb.ko: a.ko\n", "softdep a pre: b\n", ""), "a", "", "a b?", ""},
		{"soft cycle of two", dep("a.ko:\nb.ko:\n", "softdep a pre: b\nsoftdep b pre: a\n", ""), "a", "", "b? a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := open(t, tt.root).Closure(strings.Fields(tt.required), strings.Fields(tt.optional))
			checkErr(t, "Closure", err, tt.wantErr)
			if names(got) != tt.want {
				t.Errorf("Closure(%s, %s) = %s; want %s", tt.required, tt.optional, names(got), tt.want)
			}
		})
	}
}

func TestClosureFor(t *testing.T) {
	got, err := open(t, packed(t)).Closure([]string{"nvme"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].For != "nvme_core" || got[2].For != "" || !strings.HasSuffix(got[2].Path, "/kernel/drivers/nvme/host/nvme.ko.xz") {
		t.Errorf("Closure(nvme) = %+v", got)
	}
}

func TestClosureErrors(t *testing.T) {
	root := packed(t)
	dir := "usr/lib/modules/" + testVersion + "/kernel/"
	root[dir+"bad.ko"] = &fstest.MapFile{Data: []byte("not an ELF file, but long enough to look at")}
	root[dir+"torn.ko.xz"] = &fstest.MapFile{Data: root[dir+"fs/ext4/ext4.ko.xz"].Data[:60]}
	root[dir+"lone.ko"] = &fstest.MapFile{Data: x86("lone", "missing_one")}
	for _, tt := range []struct{ name, want string }{
		{"bad", "/usr/lib/modules/6.12.0-test/kernel/bad.ko: not a kernel module"},
		{"torn", "kernel/torn.ko.xz: unpack xz"},
		{"lone", `module lone needs: module "missing_one": no such module`},
	} {
		_, err := open(t, root).Closure([]string{tt.name}, nil)
		checkErr(t, "Closure("+tt.name+")", err, tt.want)
	}
	_, err := open(t, root).Closure([]string{"lone"}, nil)
	if !errors.Is(err, ErrUnknownModule) {
		t.Errorf("Closure(lone) = %v; want ErrUnknownModule", err)
	}
}

// FuzzClosure makes a graph from bytes and checks that the closure is
// complete, in order, without repetition, and that an error means a cycle.
func FuzzClosure(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 0, 2}, []byte{2, 3, 3, 0})
	f.Fuzz(func(t *testing.T, hard, soft []byte) {
		const n = 8
		name := func(b byte) string { return string(rune('a' + b%n)) }
		needs := map[string][]string{}
		for i := range byte(n) {
			needs[name(i)] = nil
		}
		for i := 0; i+1 < len(hard); i += 2 {
			needs[name(hard[i])] = append(needs[name(hard[i])], name(hard[i+1]))
		}
		var dep, sd strings.Builder
		for _, m := range slices.Sorted(maps.Keys(needs)) {
			dep.WriteString(m + ".ko:")
			for _, d := range needs[m] {
				dep.WriteString(" " + d + ".ko")
			}
			dep.WriteByte('\n')
		}
		for i := 0; i+1 < len(soft); i += 2 {
			sd.WriteString("softdep " + name(soft[i]) + []string{" pre: ", " post: "}[soft[i]/n%2] + name(soft[i+1]) + "\n")
		}
		tree := open(t, indexed(map[string]string{"modules.dep": dep.String(), "modules.softdep": sd.String(), "modules.alias": ""}))
		got, err := tree.Closure([]string{"a"}, []string{"b"})
		if err != nil {
			if !hasCycle(needs) {
				t.Fatalf("Closure = %v; there is no cycle in\n%s", err, dep.String())
			}
			return
		}
		done := map[string]bool{}
		optional := map[string]bool{}
		for _, m := range got {
			if done[m.Name] {
				t.Fatalf("%s is twice in %s", m.Name, names(got))
			}
			for _, d := range needs[m.Name] {
				if !done[d] {
					t.Fatalf("%s is before %s in %s", m.Name, d, names(got))
				}
				if !m.Optional && optional[d] {
					t.Fatalf("%s is optional in %s; %s needs it", d, names(got), m.Name)
				}
			}
			done[m.Name], optional[m.Name] = true, m.Optional
		}
		if !done["a"] || optional["a"] || !done["b"] {
			t.Fatalf("Closure(a, b) = %s", names(got))
		}
		again, _ := tree.Closure([]string{"a"}, []string{"b"})
		if !slices.Equal(got, again) {
			t.Fatalf("Closure again = %s; want %s", names(again), names(got))
		}
	})
}

func hasCycle(needs map[string][]string) bool {
	// Take away what needs nothing until nothing changes.
	left := maps.Clone(needs)
	for changed := true; changed; {
		changed = false
		for m, ds := range left {
			if !slices.ContainsFunc(ds, func(d string) bool { _, ok := left[d]; return ok }) {
				delete(left, m)
				changed = true
			}
		}
	}
	return len(left) > 0
}
