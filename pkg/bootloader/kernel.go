package bootloader

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
)

// ErrNoKernel means that no file of the running kernel was found.
var ErrNoKernel = errors.New("no file of this kernel")

// maxRejected is how many files an error of FindKernel names.
const maxRejected = 3

// Kernel is the file of a kernel.
type Kernel struct {
	Path string `json:"path"` // absolute, as found; it may be a link
	How  string `json:"how"`  // what led to it
	UKI  bool   `json:"uki"`  // a unified kernel image
}

// FindKernel finds the file of the kernel with a release (uname -r), on a machine whose root is root. Each place
// that may name it is asked, what booted first; a file is taken only if it is a kernel of that release. One whose
// image does not tell, a 32-bit ARM zImage, is taken if its name has the release.
//
// An error wraps ErrNoKernel and says which files were refused, and why.
func FindKernel(root fs.FS, release string) (Kernel, error) {
	if release == "" || strings.Contains(release, "/") {
		return Kernel{}, fmt.Errorf("%w: %q is no kernel release", ErrNoKernel, release)
	}
	s := &search{tree: tree{root}, release: release, seen: map[string]bool{}}
	s.dirs = s.bootDirs()
	for _, look := range []func(*search){
		(*search).booted, (*search).bootImage, (*search).named, (*search).ofEntries, (*search).everyUKI, (*search).installed, (*search).anyName,
	} {
		if look(s); s.found.Path != "" {
			return s.found, nil
		}
	}
	what := fmt.Sprintf("the file of the running kernel, %s, was not found", release)
	if len(s.refused) > 0 {
		what += ": " + strings.Join(s.refused[:min(len(s.refused), maxRejected)], ", ")
		if n := len(s.refused) - maxRejected; n > 0 {
			what += fmt.Sprintf(", and %d more", n)
		}
	}
	return Kernel{}, &advice.Problem{What: what, Err: ErrNoKernel,
		Hint: "mount what holds it (/boot, the EFI system partition), reboot if a kernel upgrade removed it, or name the file"}
}

// search looks for the file of one kernel.
type search struct {
	tree
	release string
	dirs    []string // of bootDirs

	seen    map[string]bool // files that were looked at, without links
	refused []string        // those that are kernels, and why they were not taken
	found   Kernel
}

// try takes a file if it is the kernel. named tells that something apart from the file has the release.
func (s *search) try(name, how string, named bool) {
	real := s.real(name)
	if s.found.Path != "" || real == "" || s.seen[real] {
		return
	}
	s.seen[real] = true
	img, release, err := s.open(real)
	switch {
	case errors.Is(err, bootimage.ErrNotKernel) || errors.Is(err, errNoFile):
	case err != nil:
		s.refused = append(s.refused, fmt.Sprintf("%s: %v", name, sysfs.Rooted(err)))
	case release == s.release || release == "" && (named || s.inName(name)):
		s.found = Kernel{Path: path.Clean(name), How: how, UKI: img.UKI != nil}
	case release == "":
		s.refused = append(s.refused, name+" does not tell its release")
	default:
		s.refused = append(s.refused, fmt.Sprintf("%s is %s", name, release))
	}
}

var errNoFile = errors.New("no regular file")

// open reads what a file is, and the release in it.
func (s *search) open(real string) (*bootimage.Image, string, error) {
	info, err := fs.Stat(s.root, real)
	if err != nil {
		return nil, "", err
	}
	if !info.Mode().IsRegular() {
		return nil, "", errNoFile // a FIFO would not return from open
	}
	f, err := s.root.Open(real)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil, "", fmt.Errorf("/%s: %w", real, errors.ErrUnsupported)
	}
	img, err := bootimage.Open(r, info.Size())
	if err != nil {
		return nil, "", err
	}
	release, err := img.Release()
	return img, release, err
}

// inName tells whether a file or its directory is named after the release.
func (s *search) inName(name string) bool {
	base := path.Base(name)
	return base == s.release || strings.HasSuffix(base, "-"+s.release) || path.Base(path.Dir(name)) == s.release
}

// tails gives the paths that a boot loader's path may be here. It counts from the top of a filesystem, which this
// machine may see from a subvolume or dataset on (/@/boot/vmlinuz), or below a mount point (/vmlinuz).
func (s *search) tails(dirs []string, name string, try func(string)) {
	elems := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	for i := range elems {
		tail := path.Join(elems[i:]...)
		for _, dir := range dirs {
			if at := s.fold(dir, tail); at != "" {
				try(at)
			}
		}
	}
}

// booted asks the variables in which an EFI boot loader leaves what it started.
func (s *search) booted() {
	for _, v := range []string{"StubImageIdentifier", "LoaderImageIdentifier"} {
		// LoaderImageIdentifier is the boot loader itself if there is one, which is no kernel.
		if image := s.loaderText(v); image != "" {
			s.tails(s.dirs, strings.ReplaceAll(image, `\`, "/"), func(at string) { s.try(at, "the EFI variable "+v+" names it", false) })
		}
	}
	selected := entryID(s.loaderText("LoaderEntrySelected"))
	if selected == "" {
		return
	}
	for _, e := range s.entries(s.dirs) {
		if strings.EqualFold(e.id(), selected) {
			s.tryEntry(e, "the boot entry that was chosen names it: "+e.path)
		}
	}
	for _, name := range s.ukis() {
		if strings.EqualFold(entryID(path.Base(name)), selected) {
			s.try(name, "it is the boot entry that was chosen", false)
		}
	}
}

// bootImage asks BOOT_IMAGE= on the command line, which GRUB (with a device in brackets) and SYSLINUX put there.
func (s *search) bootImage() {
	const parameter = "BOOT_IMAGE="
	for word := range strings.FieldsSeq(s.text("/proc/cmdline")) {
		image, ok := strings.CutPrefix(word, parameter)
		if !ok {
			continue
		}
		if _, behind, found := strings.Cut(image, ")"); found && strings.HasPrefix(image, "(") {
			image = behind
		}
		s.tails(append([]string{"/"}, s.dirs...), image, func(at string) { s.try(at, word+" on the command line names it", false) })
	}
}

// named tries the names that distributions give to the file of a release.
func (s *search) named() {
	how := "it has the name of the release"
	for _, dir := range append([]string{"/boot", "/usr/lib/modules/" + s.release, "/lib/modules/" + s.release}, s.dirs...) {
		for _, name := range []string{"vmlinuz-", "vmlinux-", "kernel-", "Image-", "image-", "zImage-", "bzImage-", "linux-"} {
			s.try(path.Join(dir, name+s.release), how, false)
		}
		for _, name := range s.list(dir) {
			// Gentoo's kernel-genkernel-x86_64-RELEASE, and names that end like Image-RELEASE.gz.
			if base := path.Base(name); isKernelName(base) && (strings.HasSuffix(base, "-"+s.release) || strings.Contains(base, "-"+s.release+".")) {
				s.try(name, how, false)
			}
		}
	}
	for _, dir := range []string{"/usr/lib/modules/", "/lib/modules/"} {
		// vmlinuz, Image (SUSE), vmlinuz-virt.efi (RHEL's UKI). An ELF file is the last choice: kexec_file_load of x86
		// does not take it, and it has no signature.
		files := s.list(dir + s.release)
		slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(elfName(a), elfName(b)) })
		for _, name := range files {
			if isKernelName(path.Base(name)) {
				s.try(name, "it is with the modules of the release", true)
			}
		}
	}
	for _, dir := range []string{"/usr/lib/ostree-boot", "/boot/ostree"} {
		for _, name := range s.list(dir) {
			for _, file := range append(s.list(name), name) {
				if base := path.Base(file); isKernelName(base) && strings.Contains(base, s.release) {
					s.try(file, "it is the image-based system's kernel of the release", false)
				}
			}
		}
	}
	for _, name := range []string{"/run/booted-system/kernel", "/run/booted-system/kernel/bzImage"} {
		s.try(name, "it is that of the booted system", false) // NixOS, Guix
	}
}

// ofEntries asks the boot entries of type 1, those of the release first.
func (s *search) ofEntries() {
	all := s.entries(s.dirs)
	slices.SortStableFunc(all, func(a, b entry) int {
		rank := func(e entry) int {
			if e.version == s.release {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	for _, e := range all {
		s.tryEntry(e, "the boot entry "+e.path+" names it")
	}
}

func (s *search) tryEntry(e entry, how string) {
	if file := cmp.Or(e.linux, e.efi); file != "" {
		s.tails([]string{e.base, "/"}, strings.ReplaceAll(file, `\`, "/"), func(at string) { s.try(at, how, e.version == s.release) })
	}
}

// ukis are the UKIs where the Boot Loader Specification has them.
func (s *search) ukis() []string {
	var all []string
	for _, dir := range s.dirs {
		if dir = s.fold(dir, "EFI/Linux"); dir == "" {
			continue
		}
		for _, name := range s.list(dir) {
			if strings.EqualFold(path.Ext(name), ".efi") {
				all = append(all, name)
			}
		}
	}
	return all
}

func (s *search) everyUKI() {
	for _, name := range s.ukis() {
		s.try(name, "it is a unified kernel image of the release", false)
	}
}

// installed looks where kernel-install(8) puts kernels: below a machine ID or entry token, and the release.
func (s *search) installed() {
	for _, dir := range s.dirs {
		for _, token := range s.list(dir) {
			s.try(path.Join(token, s.release, "linux"), "kernel-install put it there", true)
		}
	}
}

// anyName looks at everything that has the name of a kernel: Arch's vmlinuz-linux, a Raspberry Pi's kernel8.img.
func (s *search) anyName() {
	for _, dir := range append([]string{"/"}, s.dirs...) {
		for _, name := range s.list(dir) {
			if isKernelName(path.Base(name)) {
				s.try(name, "it is a kernel of the release", false)
			}
		}
	}
}

// elfName is 1 for the usual name of an ELF kernel, else 0.
func elfName(name string) int {
	if strings.HasPrefix(path.Base(name), "vmlinux") {
		return 1
	}
	return 0
}

// isKernelName tells whether a file may be a kernel by its name.
func isKernelName(base string) bool {
	base = strings.ToLower(base)
	for _, begin := range []string{"vmlinu", "kernel", "image", "zimage", "bzimage", "linux", "uimage"} {
		if strings.HasPrefix(base, begin) {
			return true
		}
	}
	return false
}
