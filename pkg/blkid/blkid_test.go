package blkid

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tool finds a program that may be in a directory for root alone.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Skipf("NOT TESTED: %s is not installed", name)
	return ""
}

// oracle asks the real blkid for a value, "" for none. It reads the image
// itself and no cache.
func oracle(t *testing.T, blkid, image, key string) string {
	t.Helper()
	out, err := exec.Command(blkid, "-p", "-o", "value", "-s", key, image).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return "" // found nothing
	}
	if err != nil {
		t.Fatalf("blkid %s: %v", image, err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// What the tools make is taken for what blkid takes it for, with the same UUID
// and label.
func TestBesideBlkid(t *testing.T) {
	blkid := tool(t, "blkid")
	tests := []struct {
		name  string
		size  int64
		args  string // IMAGE is the image's name, DIR that of a directory
		stdin string
		kind  Kind
		typ   string // "" is as the name
	}{
		{name: "ext2", size: 8, args: "mkfs.ext2 -q -L my_disk IMAGE"},
		{name: "ext3", size: 16, args: "mkfs.ext3 -q -L my_disk IMAGE"},
		{name: "ext4", size: 16, args: "mkfs.ext4 -q -L my_disk IMAGE"},
		{name: "jbd", size: 8, args: "mke2fs -q -O journal_dev -L journal IMAGE", kind: Unknown},
		{name: "xfs", size: 320, args: "mkfs.xfs -q -L my_disk IMAGE"},
		{name: "btrfs", size: 256, args: "mkfs.btrfs -q -L my_disk IMAGE"},
		{name: "fat12", size: 8, args: "mkfs.vfat -n MY_DISK IMAGE", typ: "vfat"},
		{name: "fat32", size: 64, args: "mkfs.vfat -F 32 -n MY_DISK IMAGE", typ: "vfat"},
		{name: "exfat", size: 16, args: "mkfs.exfat -L my_disk IMAGE"},
		{name: "ntfs", size: 16, args: "mkfs.ntfs -F -Q -L my_disk IMAGE"},
		{name: "f2fs", size: 64, args: "mkfs.f2fs -q -l my_disk IMAGE"},
		{name: "nilfs2", size: 160, args: "mkfs.nilfs2 -L my_disk IMAGE"},
		{name: "jfs", size: 32, args: "mkfs.jfs -q -L my_disk IMAGE"},
		{name: "reiserfs", size: 64, args: "mkfs.reiserfs -q -f -l my_disk IMAGE"},
		{name: "ocfs2", size: 300, args: "mkfs.ocfs2 --fs-features=local -M local -L my_disk IMAGE"},
		{name: "gfs2", size: 300, args: "mkfs.gfs2 -O -p lock_nolock -t a:b IMAGE"},
		{name: "erofs", args: "mkfs.erofs IMAGE DIR"},
		{name: "squashfs", args: "mksquashfs DIR IMAGE -noappend"},
		{name: "iso9660", args: "xorriso -as mkisofs -V MY_DISK -o IMAGE DIR"},
		{name: "udf", size: 32, args: "mkudffs --label=my_disk IMAGE"},
		{name: "minix", size: 8, args: "mkfs.minix -3 IMAGE"},
		{name: "minix 1", size: 8, args: "mkfs.minix -1 IMAGE", typ: "minix"},
		{name: "swap", size: 4, args: "mkswap -L my_swap IMAGE", kind: Swap},
		{name: "LUKS1", size: 32, args: "cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 IMAGE -", stdin: "x", kind: Member, typ: "crypto_LUKS"},
		{name: "LUKS2", size: 32, args: "cryptsetup -q luksFormat --type luks2 --label my_disk --pbkdf pbkdf2 --pbkdf-force-iterations 1000 IMAGE -", stdin: "x", kind: Member, typ: "crypto_LUKS"},
		{name: "bcache", size: 32, args: "make-bcache -B IMAGE", kind: Member},
		{name: "DRBD 8", size: 32, args: "drbdmeta --force 0 v08 IMAGE internal create-md", kind: Member, typ: "drbd"},
		{name: "DRBD 9", size: 32, args: "drbdmeta --force 0 v09 IMAGE internal create-md 1", kind: Member, typ: "drbd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			image := filepath.Join(dir, "image")
			args := strings.Fields(tt.args)
			args[0] = tool(t, args[0])
			for i, a := range args {
				args[i] = strings.NewReplacer("IMAGE", image, "DIR", filepath.Join(dir, "files"), "my_", "my ", "MY_", "MY ").Replace(a)
			}
			if err := os.MkdirAll(filepath.Join(dir, "files", "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.size > 0 {
				if err := os.WriteFile(image, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(image, tt.size<<20); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stdin = strings.NewReader(tt.stdin)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%q: %v\n%s", args, err, out)
			}
			want := tt.typ
			if want == "" {
				want = tt.name
			}
			if tt.kind == "" {
				tt.kind = Filesystem
			}
			compare(t, blkid, image, want, tt.kind, tt.name != "bcache" && tt.name != "udf")
		})
	}
}

func compare(t *testing.T, blkid, image, want string, kind Kind, names bool) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Probe(f, info.Size())
	v := c.Verdict()
	if err != nil || v.Kind != kind || v.Signature.Type != want || oracle(t, blkid, image, "TYPE") != want {
		t.Fatalf("Probe = %+v, %v; blkid says %q; want %s, %s", v, err, oracle(t, blkid, image, "TYPE"), kind, want)
	}
	if !names {
		return
	}
	if id := oracle(t, blkid, image, "UUID"); v.Signature.UUID != id {
		t.Errorf("UUID %q; blkid says %q", v.Signature.UUID, id)
	}
	if name := oracle(t, blkid, image, "LABEL"); v.Signature.Label != name {
		t.Errorf("label %q; blkid says %q", v.Signature.Label, name)
	}
}

// The planted members are what blkid takes for members, checksums and all, next to
// a filesystem that shows inside; so the plants are no fantasy of ours.
func TestPlantsBesideBlkid(t *testing.T) {
	blkid := tool(t, "blkid")
	mkfs := tool(t, "mkfs.ext4")
	// A pool's list of names and values is only hinted at.
	unlike := []string{"label 0", "label 3", "uberblock"}
	for _, m := range memberPlants {
		if slices.Contains(unlike, m.what) {
			continue
		}
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, make([]byte, 8<<20+61440), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mkfs, "-q", image).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.ext4: %v\n%s", err, out)
		}
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		m.plant(b)
		if err := os.WriteFile(image, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := oracle(t, blkid, image, "TYPE"); got != m.name {
			t.Errorf("%s %s: blkid says %q", m.name, m.what, got)
		}
		c, err := Probe(bytes.NewReader(b), int64(len(b)))
		if v := c.Verdict(); err != nil || v.Kind != Member || v.Signature.Type != m.name {
			t.Errorf("%s %s: %+v, %v", m.name, m.what, v, err)
		}
		if id := oracle(t, blkid, image, "UUID"); id != c.Verdict().Signature.UUID && (strings.HasPrefix(m.name, "linux") || strings.HasPrefix(m.name, "LVM2") || m.name == "crypto_LUKS") {
			t.Errorf("%s %s: UUID %q; blkid says %q", m.name, m.what, c.Verdict().Signature.UUID, id)
		}
	}
}
