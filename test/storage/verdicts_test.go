package storage

import (
	"fmt"
	"regexp"
	"strings"
)

// verdict is what a tool says of a layout; nil if that is as it should be.
type verdict func(g *guest, l *layout) error

// expect runs a script whose output has to match.
func (g *guest) expect(l *layout, script, want string) error {
	out, err := g.on(l, script)
	if err == nil && !regexp.MustCompile(want).MatchString(out) {
		err = fmt.Errorf("%s: %.60q... prints %q; want a match of %s", l.name, strings.TrimSpace(script), out, want)
	}
	return err
}

// wholeGroup is LVM's of its volume group.
func wholeGroup(g *guest, l *layout) error {
	// attr: writeable, resizable, -, not partial, allocation normal, not clustered (vgs(8))
	return g.expect(l, "lvm vgck g-$name; lvm vgs --noheadings -o vg_attr,vg_missing_pv_count g-$name", `^\s*wz--n-\s+0\s*$`)
}

func groupOn(device string) verdict {
	return func(g *guest, l *layout) error {
		return g.expect(l, "pvs="+device+"; lvm vgck g-$name; lvm vgs --noheadings -o vg_attr,vg_missing_pv_count g-$name", `^\s*wz--n-\s+0\s*$`)
	}
}

// agreeing is LVM's of the legs of a dm-raid.
func agreeing(g *guest, l *layout) error {
	return g.expect(l, `
quiet() { until [ "$(lvm lvs --noheadings -o raid_sync_action g-$name/v | tr -d ' ')" = idle ]; do sleep 0.1; done; }
quiet; lvm lvchange -q --syncaction check g-$name/v; quiet
lvm lvs --noheadings -o copy_percent,raid_mismatch_count,lv_health_status g-$name/v`, `^\s*100.00\s+0\s*$`)
}

// copied is LVM's of the legs of an old mirror.
func copied(g *guest, l *layout) error {
	return g.expect(l, "until lvm lvs --noheadings -o copy_percent g-$name/v | grep -q 100.00; do sleep 0.1; done; lvm lvs --noheadings -o lv_attr,lv_health_status g-$name/v", `^\s*mwi-a-m---\s*$`)
}

// secondThin is of a thin volume that nobody used after the reset.
func secondThin(g *guest, l *layout) error {
	_, err := g.on(l, fmt.Sprintf("mkdir -p $top-2; mount -t ext4 /dev/g-$name/v2 $top-2; guest grown $top-2 %d; umount $top-2; e2fsck -fn /dev/g-$name/v2 2>&1", g.lab.grown[l.dir()+"-2"]))
	return err
}

// arrayWhole is md's of an array with so many members in use: after the resync that a crash makes necessary they agree.
func arrayWhole(members int) verdict {
	return func(g *guest, l *layout) error {
		out, err := g.on(l, `
synced; echo check >/sys/block/$md/md/sync_action; idle
mdadm --detail /dev/$md; cat /sys/block/$md/md/mismatch_cnt`)
		if err != nil {
			return err
		}
		fields := map[string]string{}
		for line := range strings.Lines(out) {
			if name, value, ok := strings.Cut(line, " : "); ok {
				fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
			}
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if fields["Active Devices"] != fmt.Sprint(members) || !regexp.MustCompile(`^(clean|active)(, degraded)?$`).MatchString(fields["State"]) || lines[len(lines)-1] != "0" {
			return fmt.Errorf("%s: %d members in use and 0 mismatches are wanted of\n%s", l.name, members, out)
		}
		return nil
	}
}

// cleanExt is e2fsck's of what has been unmounted.
func cleanExt(device string, options ...string) verdict {
	return func(g *guest, l *layout) error {
		return g.expect(l, "if dumpe2fs -h "+device+" 2>&1 | grep needs_recovery; then exit 1; fi; e2fsck -fn "+strings.Join(options, " ")+" "+device+" 2>&1", `\d+/\d+ blocks\n$`)
	}
}

// findsJournal is what a boot does with an ext4 whose journal is on another device: e2fsck sets the device number in the
// superblock right, and the kernel goes by that.
func findsJournal(g *guest, l *layout) error {
	_, err := g.on(l, "e2fsck -p $1 || [ $? = 1 ]; mkdir -p $top; mount -t ext4 -r $1 $top; umount $top")
	return err
}

func cleanXFS(g *guest, l *layout) error {
	_, err := g.on(l, "xfs_repair -n -l $2 $1")
	return err
}

func cleanBtrfs(device string) verdict {
	return func(g *guest, l *layout) error {
		_, err := g.on(l, "btrfs check --readonly "+device)
		return err
	}
}

// scrubbed is btrfs's of each block on each disk.
func scrubbed(g *guest, l *layout) error {
	return g.expect(l, "btrfs scrub start -B -r $top; btrfs device stats -c $top; btrfs filesystem show $top", `(?s)no errors found.*Total devices 2.*path /dev/\S+1?\n.*path /dev/`)
}

// keptSnapshot: a snapshot shows what was there when it was taken, and nothing later.
func keptSnapshot(g *guest, l *layout) error {
	if err := g.expect(l, "lvm lvs --noheadings -o lv_attr,lv_snapshot_invalid g-$name/old", `^\s*swi-a-s---\s*$`); err != nil {
		return err
	}
	out, err := g.on(l, "mkdir -p /mnt/old; mount -o ro,noload /dev/g-$name/old /mnt/old; ls /mnt/old; "+
		"code=0; guest compare /mnt/old/first $name 1048576 || code=1; guest compare /mnt/old/kept kept 1048576 || code=1; umount /mnt/old; exit $code")
	if err == nil && (strings.Contains(out, "later") || strings.Contains(out, "dump")) {
		err = fmt.Errorf("%s: the snapshot shows what was written later: %s", l.name, out)
	}
	return err
}
