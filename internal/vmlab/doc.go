// Package vmlab boots real kernels in QEMU for tests: it fetches Debian's kernels,
// builds an initramfs whose init is an agent, and communicates with that agent, so
// that a test reads like a specification:
//
//	vmlab.Matrix(t, func(t *testing.T, k *vmlab.Kernel) {
//		g := vmlab.Boot(t, vmlab.Config{
//			Kernel:      k,
//			CrashKernel: "128M",
//			Disks:       []vmlab.Disk{{}},
//			Files: []vmlab.File{
//				vmlab.Executable("/bin/gokexec", vmlab.BuildTest(t, "./cmd/gokexec", k.Arch)),
//				{Path: "/boot/vmlinuz", Source: k.Image},
//				{Path: "/boot/initrd", Source: captureInitrd},
//			},
//		})
//		nonce := g.Plant(500)
//		g.Must("gokexec", "load", "--crash", "/boot/vmlinuz", "--initrd", "/boot/initrd")
//		g.Crash()
//		g.WaitEnd() // the capture kernel reboots; that ends QEMU
//		// g.VM.Disk(0) now is the dump: nonce.Check, nonce.CountIn
//	})
//
// [Boot] and [Guest] are for tests: every error fails the test and shows the end of
// the guest's console. [Launch] and [VM] are the same with contexts and errors, for
// programs and for what is expected to fail.
//
// # The guest
//
// The agent runs a program ([VM.Run], [VM.Start]), reads and writes files,
// mounts, loads modules, panics, reboots. The guest contains nothing else:
// what a test needs comes in [Config.Files]; Debian's programs with their
// libraries come from [Package.GuestProgram]. The agent always answers, with a result
// or a reason; a missing answer is an error after the time of one step
// (GOKEXEC_VM_TIMEOUT, 90 s by default), in which what a busy host keeps QEMU waiting for
// a CPU does not count. PATH is /bin:/sbin:/usr/bin:/usr/sbin.
//
// An ordinary kexec: give the second kernel an initrd of [AgentFiles] by
// [Initramfs], and [Config.AgentCmdline] on its command line; then
// [VM.WaitHello] waits for it, and requests go to it. Requests the first kernel
// didn't answer give [ErrRestarted].
//
// The machine runs with -no-reboot: a reboot or a power-off ends it
// ([VM.Wait]). A jump into a crash kernel is no reboot. The first kernel has
// panic=3, so a panic without a crash kernel ends it too. A test that needs its
// writes on a disk must sync it before that.
//
// # What memory really contains
//
// QEMU keeps the guest's RAM in a memfd, which the host can read and write by
// physical address ([VM.Physical]) without the guest's help, also after the
// machine has ended, until [VM.Close]. So a dump can be compared byte for byte
// with the memory it was made of: the capture kernel touches only its own
// region. [VM.PlantAt] writes a nonce to physical pages from outside, for
// example into the low 640 KiB; [VM.Plant] makes the agent hold one in pages of
// its own and say where they are.
//
// # Channel
//
// Requests and answers are lines (package wire), over a virtio-serial port
// where virtio_console is built in (Debian's kernels from 6.12 on), otherwise
// over the second serial port, which needs no driver. Measured with TCG on a
// small machine: the virtio port takes 2 MB/s and gives 15 MB/s, 1.3 ms a
// request; the serial port takes 40 KB/s and gives 170 KB/s, 5 ms a request. So
// large files belong into Config.Files or on a disk. Kernel messages go only to
// the first serial port, that is to [VM.Console].
//
// # Kernels
//
// [GetKernel] knows names such as trixie-cloud ([KernelNames]); it follows
// Debian's metapackage at most once a day and keeps what it has unpacked under
// os.UserCacheDir()/gokexec. Downloading is apt's work, in a directory of its own,
// from the machine's own Debian sources if it has any; the system is not changed.
// Parallel processes wait for each other. [BuildModule] builds a module of one's own for one of them.
//
//	GOKEXEC_VM_MATRIX    "full", or kernel names separated by commas (default: trixie-cloud)
//	GOKEXEC_VM_KERNEL    IMAGE[:MODULESROOT], your own kernel, named "custom"
//	GOKEXEC_VM_ARCH      its GOARCH (default: this machine's)
//	GOKEXEC_VM_BUILT     "all", or names of [BuiltKernelNames]: build them, and test by them
//	GOKEXEC_VM_REQUIRED  1: a VM test that can't run fails instead of being skipped
//	GOKEXEC_VM_REFRESH   1: ask the archive for newer packages now
//	GOKEXEC_VM_CACHE     directory for downloads, instead of the user's cache
//	GOKEXEC_VM_TIMEOUT   of one step, such as "3m"
//	GOKEXEC_VM_SLOTS     how many machines run at once, of all processes (default: one per CPU)
//	GOKEXEC_VM_ACCEL     QEMU's -accel (default: tcg)
//	GOKEXEC_VM_KEEP      1: keep the machines' files
//
// TCG is the default even where /dev/kvm exists, since on some hosts KVM can be
// opened but does not boot. QEMU before 10 gets -cpu max,-cx16: its cmpxchg16b
// corrupts flags under TCG, so that one boot in ten crashes.
package vmlab
