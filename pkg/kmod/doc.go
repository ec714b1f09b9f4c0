// Package kmod finds, orders and loads kernel modules without modprobe,
// depmod or an index built at boot.
//
// It has two halves that meet in one small file:
//
//   - At build time, [Open] reads the modules of one kernel version from an
//     fs.FS, which may be a live system, a collected tree or an unpacked
//     package, and [Tree.Closure] puts the wanted modules and everything they
//     need in load order. Where depmod's files are missing (packages do not
//     ship modules.dep: depmod runs when they are installed), the answers are
//     computed from the modules' own .modinfo sections.
//   - At boot, [Load] reads the resulting [List] and loads the modules one after the
//     other.
//
// [Tree.ModulesForBlockDevice], [Tree.ModulesForFilesystem] and [Tree.Set]
// say which modules a dump target needs.
//
// Module names are compared as the kernel does: '-' and '_' are the same
// (kernel/module/main.c; scripts/Makefile.lib, name-fix). This package always
// returns them with '_'.
package kmod
