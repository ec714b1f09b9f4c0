package kexeccmd

// Unsupport is an option of kexec-tools that gokexec recognises but does not support.
type Unsupport struct {
	Option  string
	Refused bool // with exit code 255; else it is accepted and has no effect
	Why     string

	meant func(*Invocation) bool
}

// Meant tells whether the invocation uses it.
func (u *Unsupport) Meant(inv *Invocation) bool { return u.meant(inv) }

// Unsupported lists them all. The manual and the messages are made from it.
func Unsupported() []Unsupport {
	given := func(name string) func(*Invocation) bool {
		return func(inv *Invocation) bool { return inv.Load && inv.Given[name] }
	}
	return []Unsupport{
		{"load-preserve-context", true, "kexec jump is not supported: the return needs code in the new kernel's memory that gokexec does not have, and few kernels are built with CONFIG_KEXEC_JUMP", func(inv *Invocation) bool { return inv.Load && inv.Jump }},
		{"load-jump-back-helper", true, "kexec jump is not supported", func(inv *Invocation) bool { return inv.JumpBack }},
		{"args-elf", true, "ELF boot notes are for payloads such as boot loaders; gokexec loads Linux kernels, which don't read them", given("args-elf")},
		{"args-none", true, "gokexec loads Linux kernels, which don't start without boot_params", given("args-none")},
		{"real-mode", true, "gokexec enters kernels in 64-bit mode only; the BIOS, which real mode needs, is no longer usable", given("real-mode")},
		{"entry-32bit", true, "gokexec enters kernels in 64-bit mode only; every kernel since 3.9 supports that", given("entry-32bit")},
		{"reuseinitrd", true, "the initrd that the running kernel has kept is not passed on; kexec-tools on x86 does not pass it on either", func(inv *Invocation) bool { return inv.ReuseInitrd }},
		{"atags", true, "gokexec does not load 32-bit ARM kernels by kexec_load", given("atags")},
		{"module", false, "for multiboot kernels (Xen, memtest), which gokexec does not load", given("module")},
		{"reset-vga", false, "the purgatory shows nothing on a screen; the new kernel's driver sets the card up", given("reset-vga")},
		{"console-vga", false, "the purgatory shows nothing on a screen; use --console-serial", given("console-vga")},
		{"elf32-core-headers", false, "the header is always 64-bit ELF, as that of kexec-tools for x86_64 is, too", given("elf32-core-headers")},
		{"reuse-video-type", false, "the running kernel's screen_info is always passed on", given("reuse-video-type")},
		{"dt-no-old-root", false, "nothing is taken over from the old command line", given("dt-no-old-root")},
		{"dtb", false, "it has an effect on arm64 and riscv64; on x86 kexec-tools passes a device tree to kernels in 32-bit mode only, and the kernel passes on its own with --force-dtb", func(inv *Invocation) bool { return inv.Given["dtb"] && !TakesDTB(inv.Arch) }},
		{"image-size", false, "32-bit ARM kernels are not loaded by kexec_load", given("image-size")},
		{"page-offset", false, "32-bit ARM kernels are not loaded by kexec_load", given("page-offset")},
	}
}

// Difference is something that gokexec does differently from kexec-tools, on purpose.
type Difference struct {
	When, Original, Here string
}

// Differences lists them all, for the manual.
func Differences() []Difference {
	return []Difference{
		{"--noefi, --pass-memmap-cmdline or --reuse-video-type after --append", "the kernel silently gets no command line", "the command line is used, in whatever order the options are"},
		{"--pass-memmap-cmdline", "boot_params have the machine's whole memory map: a kernel with KASLR may choose a place in the crashed kernel's memory", "boot_params have the crash kernel's memory only, as without the option"},
		{"-d -S", "-d makes -S ask for the boot kernel", "-d changes only the messages"},
		{"-d before -p", "ignores half of -d", "the order does not matter"},
		{"-d on a kernel older than 6.8", "the kernel refuses the flag, so that the other system call is used, or the load or unload fails", "the flag is omitted"},
		{"-u before -p, without a kernel", "unloads, then fails because no kernel is given, with exit code 255", "the same, and a warning says that -p -u was meant"},
		{"-u with -l or -p and a kernel", "by kexec_file_load the flag to unload is set for the load too: nothing is loaded, with exit code 0", "unloads, then loads"},
		{"-e or -f before -l or -p", "network interfaces go down although no kernel is started", "they go down only before a jump"},
		{"a wrong --serial or --serial-baud", "-u and -S continue; a baud rate of 0 makes it crash", "exit code 255, and nothing is done"},
		{"-l on loongarch64 while a crash kernel is loaded", "the kernel's only command line is overwritten: after a panic the crash kernel uses the memory that it should save", "refused: kexec -p -u first"},
		{"-p on loongarch64 while another kernel is loaded for a reboot", "that kernel would start with the crash kernel's command line", "that kernel is unloaded, so that the next reboot is one through the firmware"},
		{"-l by kexec_load, with kexec handover (kho=on) or /dev/liveupdate", "what is kept for the next kernel is lost", "refused; kexec_file_load passes it on"},
		{"--reuse-cmdline, with a quote in /proc/cmdline that is not closed", "the appended text silently becomes part of the quoted word", "the same, and a warning says so"},
		{"a vmlinux", "by kexec_file_load, which is the default, it fails; by kexec_load it gets ELF boot notes unless --args-linux is given, and does not start", "it is loaded by kexec_load, as Linux"},
		{"a unified kernel image (UKI)", "by kexec_load it fails; its command line is ignored; files are left in /tmp", "it is unpacked in memory for either call; its command line is used if none is given"},
		{"kernels not compressed by gzip, xz or zstd; zboot with another codec", "not recognised", "unpacked in memory"},
		{"--reuse-cmdline", "drops every word that begins with crashkernel or BOOT_IMAGE, but none after a word that contains it, and splits quoted values; passes elfcorehdr= on", "drops exactly these parameters, and elfcorehdr= and kexec_jump_back_entry= of the kernel before"},
		{"a command line that is too long", "may be truncated silently", "refused before the loaded kernel is freed"},
		{"a file that can't be loaded for a reason that can be checked beforehand", "the kernel frees the loaded crash kernel, then refuses", "refused first: what is loaded stays"},
		{"a load that fails in the kernel nevertheless", "no crash kernel is loaded any more", "the crash kernel that gokexec loaded last is restored; the exit code still reports the failure"},
		{"EBUSY", "fails", "retried for 10 seconds, unless the kernel limits the number of loads"},
		{"a hotplug event during the load", "the header is stale, and nothing reports it", "the header is verified after the load, and loaded again if it is stale"},
		{"-p by kexec_load without --hotplug", "the kernel may not update the header", "it may, if it can"},
		{"Xen's control domain", "loads by the hypervisor, if built with libxenctrl", "everything is refused, with exit code 255"},
		{"multiboot kernels (Xen, memtest), beoboot and NBI images, 32-bit ELF programs", "loaded by kexec_load", "the file type can't be determined"},
		{"a 32-bit kernel, or one before 3.9", "entered in 32-bit mode", "refused"},
		{"a kernel or initrd that is a block or character device", "read", "refused: only regular files are loaded"},
		{"--type with the automatic choice of the system call", "is used if kexec_file_load fails", "is ignored"},
		{"--entry outside of what is loaded", "the jump goes there", "refused"},
		{"many memory ranges, program headers in /proc/kcore, CPU numbers with gaps", "fixed limits, or lost notes", "no limits other than the kernel's"},
		{"--hotplug where crash_elfcorehdr_size is 1000000 or more", "misread", "read"},
		{"--dtb without -c", "no effect, by kexec_file_load", "arm64 and riscv64: loaded by kexec_load, with that device tree; with -s, no effect"},
		{"a load by kexec_load without CAP_SYS_BOOT", "\"Memory for crashkernel is not reserved\", with exit code 1, or that no room is found", "Operation not permitted, with exit code 255"},
		{"riscv64, an initrd that can't be read", "exit code 234", "1 or 255, as on the other architectures"},
		{"riscv64, -p", "the dump lacks what the kernel reserved at boot, including its page structures", "all memory is in the dump"},
		{"riscv64 without a device tree", "-u, -S and -e fail with exit code 234", "they need none"},
	}
}
