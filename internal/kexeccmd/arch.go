package kexeccmd

import "slices"

// arch is kexec(8) on an architecture: a row of the table.
type arch struct {
	name     string          // by uname -m
	options  func() []Option // in addition to those of all architectures
	types    []string        // of images that --type takes, in the order in which kexec-tools tries them
	dtb      bool            // --dtb has an effect
	terminal bool            // --serial names a terminal, not a port
	appends  bool            // each --append is added to those before it
	dropped  []string        // by --reuse-cmdline, in addition to what all drop
}

// arches is the table.
func arches() []arch {
	return []arch{
		{name: "x86_64", options: x86Options,
			types: []string{"multiboot2-x86", "elf-x86_64", "multiboot-x86", "elf-x86", "bzImage64", "bzImage", "beoboot-x86", "nbi-x86", "uki"}},
		{name: "aarch64", options: arm64Options, types: []string{"vmlinux", "Image", "uImage", "vmlinuz", "uki"}, dtb: true, terminal: true},
		{name: "riscv64", options: riscvOptions, types: []string{"elf-riscv", "image-riscv", "vmlinuz-riscv"}, dtb: true},
		{name: "ppc64le", options: ppc64Options, types: []string{"elf-ppc64"}},
		{name: "s390x", options: s390Options, types: []string{"image"}, appends: true},
		{name: "loongarch64", options: loongArchOptions, types: []string{"elf-loongarch", "pez-loongarch", "pei-loongarch"}, dropped: []string{"kexec", "kexec_file", "initrd"}},
		{name: "armv7l", options: armOptions, types: []string{"uImage", "zImage"}},
		{name: "i686", options: x86Options, types: []string{"multiboot-x86", "multiboot2-x86", "elf-x86", "bzImage", "beoboot-x86", "nbi-x86"}},
	}
}

// archOf looks an architecture up; of one that is not known it is empty.
func archOf(name string) arch {
	for _, a := range arches() {
		if a.name == name {
			return a
		}
	}
	return arch{}
}

// Arches lists the architectures whose options are known, by uname -m.
func Arches() []string {
	var names []string
	for _, a := range arches() {
		names = append(names, a.name)
	}
	return names
}

// Types are the image types that --type takes on an architecture, in the order in
// which kexec-tools tries them.
func Types(arch string) []string { return archOf(arch).types }

// KnownType tells whether --type takes it.
func KnownType(arch, name string) bool { return slices.Contains(Types(arch), name) }

// TakesDTB tells whether --dtb has an effect on an architecture.
func TakesDTB(arch string) bool { return archOf(arch).dtb }
