package kexeccmd

import "slices"

// Types are the image types that --type takes on an architecture, in the order in
// which kexec-tools tries them.
func Types(arch string) []string {
	return map[string][]string{
		"x86_64":      {"multiboot2-x86", "elf-x86_64", "multiboot-x86", "elf-x86", "bzImage64", "bzImage", "beoboot-x86", "nbi-x86", "uki"},
		"i686":        {"multiboot-x86", "multiboot2-x86", "elf-x86", "bzImage", "beoboot-x86", "nbi-x86"},
		"aarch64":     {"vmlinux", "Image", "uImage", "vmlinuz", "uki"},
		"riscv64":     {"elf-riscv", "image-riscv", "vmlinuz-riscv"},
		"loongarch64": {"elf-loongarch", "pez-loongarch", "pei-loongarch"},
		"ppc64le":     {"elf-ppc64"},
		"s390x":       {"image"},
		"armv7l":      {"uImage", "zImage"},
	}[arch]
}

// KnownType tells whether --type takes it.
func KnownType(arch, name string) bool { return slices.Contains(Types(arch), name) }
