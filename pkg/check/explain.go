package check

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// Attempt is what was asked of the kernel when it answered with an errno.
type Attempt struct {
	Plan   *plan.Plan // nil for an unload
	Kind   machine.Kind
	Method plan.Method
}

// BusyFileHint is what to do about ETXTBSY.
const BusyFileHint = "the kernel or initrd file is open for writing (is it being installed right now?); try again when the writer is done"

// Explain turns the errno of a load or unload into cause and remedy, after
// looking at the machine again: what the checks find comes first, the
// kernel's own list of reasons (kernel-doc of the two calls; kernel/kexec.c,
// kernel/kexec_file.c, arch/*/kernel/) second. Other errors pass through.
func Explain(root fs.FS, arch machine.Arch, attempt Attempt, err error) error {
	var errno unix.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	var had *advice.Problem
	if errors.As(err, &had) {
		return err
	}
	what := "load " + attempt.Kind.String() + " kernel"
	if attempt.Plan == nil {
		what = "unload " + attempt.Kind.String() + " kernel"
	}
	p := &advice.Problem{What: fmt.Sprintf("%s: %v", what, err), Err: err}
	if host, readErr := machine.ReadHost(root, arch); readErr == nil {
		findings := Host(host, attempt.Kind)
		if attempt.Plan != nil {
			findings = append(findings, attempt.Plan.Check(host)...)
		}
		if hint := unloadHint(host, attempt, errno); hint != "" {
			p.Hint = hint
			return p
		}
		if errno == unix.ENOKEY && attempt.Plan != nil && attempt.Kind == machine.Crash && attempt.Method == plan.File && machine.HasDiskKeys(root) {
			p.Hint = "the key of an encrypted disk (/" + machine.DiskKeys + ") is in no keyring of this process: " + DiskKeyHint
			return p
		}
		for _, f := range findings {
			if f.Level >= advice.Warning && f.Explains(errno) {
				p.Hint = f.Detail + "; " + f.Remedy
				if errno == unix.EKEYREJECTED || errno == unix.ENOKEY {
					p.Hint += "; " + keyringHint(host)
				}
				return p
			}
		}
		if hint := hostHint(host, attempt, errno); hint != "" {
			p.Hint = hint
			return p
		}
	}
	p.Hint = attempt.hint(arch, errno)
	return p
}

func hostHint(h *machine.Host, a Attempt, errno unix.Errno) string {
	if errno == unix.EKEYREJECTED && h.SecureBoot != nil && !*h.SecureBoot {
		hint := "the kernel was built or told to check signatures although Secure Boot is off (CONFIG_KEXEC_SIG_FORCE); load an image signed with a key in its keyring"
		if plan.CanPlanSegments(h.Arch) {
			hint += ", or use --method segments"
		}
		return hint
	}
	if errno == unix.EKEYREJECTED || errno == unix.ENOKEY {
		return a.hint(h.Arch, errno) + "; " + keyringHint(h)
	}
	if errno == unix.EBUSY && a.Kind == machine.Boot && h.Arch.StuckCPUs {
		return "on arm64 EBUSY also means that CPUs can't be stopped (dmesg: \"CPUs are stuck in the kernel\"): the firmware lacks PSCI CPU_OFF"
	}
	return ""
}

// unloadHint is for an unload that lockdown refuses: by kexec_load it is held to be a load
// (kernel/kexec.c, kexec_load_check).
func unloadHint(h *machine.Host, a Attempt, errno unix.Errno) string {
	if a.Plan != nil || errno != unix.EPERM || !h.LockedDown() {
		return ""
	}
	return fmt.Sprintf("lockdown is %s: an image can be unloaded by kexec_file_load only (kexec -s -p -u; gokexec unload does so where the kernel has that call)", h.Lockdown)
}

// keyringHint names the keyrings that the kernel looks for a signer's key in (certs/system_keyring.c,
// security/integrity/digsig.c; VERIFY_USE_SECONDARY_KEYRING and VERIFY_USE_PLATFORM_KEYRING in
// arch/x86/kernel/kexec-bzimage64.c and kernel/kexec_file.c).
func keyringHint(h *machine.Host) string {
	rings := []string{".builtin_trusted_keys (built into the kernel)"}
	if !h.Config.Off("SECONDARY_TRUSTED_KEYRING") {
		rings = append(rings, ".secondary_trusted_keys")
	}
	if !h.Config.Off("INTEGRITY_MACHINE_KEYRING") {
		rings = append(rings, ".machine (MOK, by mokutil --import)")
	}
	if !h.Config.Off("INTEGRITY_PLATFORM_KEYRING") {
		rings = append(rings, ".platform (the firmware's db, and MOK)")
	}
	return "the signer's key must be in " + strings.Join(rings, ", ") + "; keyctl list %:.platform shows what is, pesign -S or sbverify --list who signed"
}

// hint is what an errno means when the machine looks all right.
func (a Attempt) hint(arch machine.Arch, errno unix.Errno) string {
	switch errno {
	case unix.EPERM:
		return "a policy refuses: a security module, seccomp, or a container without CAP_SYS_BOOT in the initial user namespace; see dmesg"
	case unix.EBUSY:
		return "another program holds the kexec lock (a second loader, or a reader of kexec_crash_size); try again, or raise --wait"
	case unix.ENOSYS:
		return a.noCallHint(arch)
	}
	if a.Plan == nil {
		return seeDmesg // what follows is of images
	}
	switch errno {
	case unix.EACCES:
		if a.Method == plan.Segments {
			return "IMA appraises kernels on this machine, which kexec_load can't pass; use --method file"
		}
		return "IMA appraisal or another security module refuses this file; see dmesg and the file's security.ima attribute"
	case unix.EINVAL:
		if a.Method == plan.Segments {
			return "the kernel refuses the segment list or the flags; `gokexec load --dry-run` prints the list"
		}
		return "the kernel refuses the image, its command line or the flags; run with --debug and see dmesg (on arm64 this can mean \"not an Image\": a zboot image or a UKI that was not unpacked)"
	case unix.EADDRNOTAVAIL:
		if a.Kind == machine.Boot {
			return "no free memory that the kernel could be loaded to; use a smaller initrd, or reboot instead"
		}
		return "no hole in the crash memory fits, or a segment lies outside of it; enlarge crashkernel= or use a smaller initrd"
	case unix.ENOMEM:
		if a.Kind == machine.Boot {
			return "not enough memory for the kernel's own copy or its page tables; free some, or use a smaller initrd"
		}
		return "not enough memory for the kernel's own copy or its page tables; free some, or enlarge crashkernel="
	}
	return imageErrnoHint(errno)
}

const seeDmesg = "see dmesg for the kernel's own words"

// noCallHint names the other system call, where that is of use.
func (a Attempt) noCallHint(arch machine.Arch) string {
	switch {
	case a.Method == plan.Segments:
		return "this kernel has no kexec_load (CONFIG_KEXEC), or a seccomp filter hides it; try --method file"
	case !plan.CanPlanSegments(arch):
		return "this kernel has no kexec_file_load (CONFIG_KEXEC_FILE), or a seccomp filter hides it; " + plan.NoSegmentsHint(arch)
	}
	return "this kernel has no kexec_file_load (CONFIG_KEXEC_FILE), or a seccomp filter hides it; try --method segments"
}

// imageErrnoHint is for what is wrong with the image that was loaded.
func imageErrnoHint(errno unix.Errno) string {
	switch errno {
	case unix.ENOEXEC:
		return "no loader of this kernel recognises the image (a zboot image or a UKI that was not unpacked?); see dmesg, and `gokexec check FILE` for what it is"
	case unix.ETXTBSY:
		return BusyFileHint
	case unix.EKEYREJECTED:
		return "the image's signature is by a key that the kernel does not trust; see `keyctl list %:.secondary_trusted_keys` and the platform keyring"
	case unix.ENODATA:
		return "the image is not signed and the kernel wants a signature; load the distribution's signed image as it is, without unpacking it"
	case unix.ENOKEY:
		return "the key that signed the image is not in the kernel's keyrings; enrol it (MOK) or load another image"
	case unix.ENOPKG:
		return "the signature uses an algorithm this kernel lacks"
	case unix.EBADMSG, unix.ELIBBAD, unix.EMSGSIZE:
		return "the image's signature or PE header is damaged; reinstall the kernel package"
	case unix.EFBIG:
		return "the file is over 4 GiB"
	case unix.EIO:
		return "reading the file failed: check the disk (dmesg)"
	case unix.EFAULT:
		return "the kernel could not read the segments from this process: a bug in gokexec, please report it"
	case unix.ENOENT:
		return "a security module or a missing key description stopped it; see dmesg"
	}
	return seeDmesg
}

// DiskKeyHint is what to do about the key of an encrypted disk that is in no keyring.
const DiskKeyHint = "put it into root's user keyring: cryptsetup open --test-passphrase DEVICE --link-vk-to-keyring '@u::%logon:DESCRIPTION' (cryptsetup 2.7), " +
	"or keyctl padd logon DESCRIPTION @u; gokexec arm and gokexec initramfs add that of a LUKS1 volume, which cryptsetup does not. A key that nothing needs any more is a directory to be removed from /" + machine.DiskKeys
