package check

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/uname"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// DiskKeysHandedOver is the check of DiskKeys.
const DiskKeysHandedOver advice.CheckID = "keys of encrypted disks"

// Bounds of kernel/crash_dump_dm_crypt.c (KEY_NUM_MAX).
const maxDiskKeys = 128

const handOverByMemory = "DiskKeys=memory, for gokexec arm, works with any kernel; or name a target that is not encrypted"

// RequiredDiskKeys are the descriptions of the keys that the capture of a crash plan needs to be handed over: those that its
// initrd names. in is what p was made of.
func RequiredDiskKeys(in *plan.Inputs, p *plan.Plan, host *machine.Host) []string {
	if p.Kind != machine.Crash || p.Initrd == nil {
		return nil
	}
	contents, _ := readInitrd(in, p, host) // Initrd judges it
	return plan.DiskKeysOf(contents)
}

// DiskKeys tells whether the kernel can hand over the keys that a plan needs: a Failure is what no load refuses and each
// capture fails by, or a refusal that would cost the image that is loaded. It finds nothing to say of a plan without keys.
// release is that of the capture kernel; "" if it does not tell.
func DiskKeys(root fs.FS, host *machine.Host, p *plan.Plan, release string) []advice.Finding {
	if p.Kind != machine.Crash || len(p.DiskKeys) == 0 {
		return nil
	}
	f := HandsOverDiskKeys(root, host, release)
	if f.Level == advice.Failure {
		return []advice.Finding{f}
	}
	fail := func(remedy, format string, args ...any) []advice.Finding {
		return []advice.Finding{{Check: DiskKeysHandedOver, Level: advice.Failure, Detail: fmt.Sprintf(format, args...), Remedy: remedy, Err: unix.ENOKEY}}
	}
	foreign := 0
	for _, k := range machine.ConfiguredDiskKeys(root) {
		if !k.Own {
			foreign++
		}
	}
	switch {
	case p.Method != plan.File:
		return fail("use --method file", "the capture needs the keys of encrypted disks, which kexec_load can't hand over")
	case len(p.DiskKeys)+foreign > maxDiskKeys:
		return fail("name fewer targets", "the capture needs %d keys of encrypted disks, and %d more are configured; the kernel hands over at most %d", len(p.DiskKeys), foreign, maxDiskKeys)
	case len(p.DiskKeys)+foreign > 1 && release != "" && !uname.AtLeast(release, 7, 3):
		// add_key_to_keyring gave back the keyring once for each key (fixed in 7.3).
		return []advice.Finding{f, {Check: DiskKeysHandedOver, Level: advice.Warning,
			Detail: fmt.Sprintf("%d keys are handed over to kernel %s: before Linux 7.3 it frees root's keyring too early where there is more than one", len(p.DiskKeys)+foreign, release),
			Remedy: "name targets on one encrypted volume, or let a kernel of 7.3 or later capture"}}
	}
	return []advice.Finding{f}
}

// HandsOverDiskKeys tells whether the running kernel hands keys over with a crash kernel of some release, and whether that
// takes them.
func HandsOverDiskKeys(root fs.FS, host *machine.Host, release string) advice.Finding {
	fail := func(format string, args ...any) advice.Finding {
		return advice.Finding{Check: DiskKeysHandedOver, Level: advice.Failure, Detail: fmt.Sprintf(format, args...), Remedy: handOverByMemory, Err: unix.ENOKEY}
	}
	if !host.Arch.DiskKeys {
		return fail("DiskKeys=kernel is for x86_64 only: that kernels of %s hand keys over was not tried", host.Arch.Name)
	}
	if _, err := fs.Stat(root, machine.DiskKeys); err != nil { // configfs may not be mounted yet
		switch {
		case host.Config == nil && old(host.Release), host.Config.Off("CRASH_DM_CRYPT"):
			return fail("the running kernel, %s, can't hand over keys of encrypted disks: that takes Linux 6.16 with CONFIG_CRASH_DM_CRYPT", host.Release)
		case host.Config == nil:
			return advice.NotKnown(DiskKeysHandedOver, "whether the running kernel hands them over (CONFIG_CRASH_DM_CRYPT): its configuration is not there")
		}
	}
	if release != "" && release != host.Release {
		config, err := kconfig.OfRelease(root, release)
		switch known := err == nil && config != nil; {
		case !known && old(release), known && config.Off("CRASH_DM_CRYPT"):
			return fail("the capture kernel, %s, can't take keys of encrypted disks: that takes Linux 6.16 with CONFIG_CRASH_DM_CRYPT", release)
		case !known:
			return advice.NotKnown(DiskKeysHandedOver, "whether the capture kernel, %s, takes them (CONFIG_CRASH_DM_CRYPT): its configuration is not there", release)
		}
	}
	return advice.Passed(DiskKeysHandedOver, "the kernel hands them over in crash memory")
}

// old tells of a release that has no CONFIG_CRASH_DM_CRYPT.
func old(release string) bool { return release != "" && !uname.AtLeast(release, 6, 16) }
