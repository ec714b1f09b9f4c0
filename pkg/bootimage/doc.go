// Package bootimage recognises, checks and unpacks Linux kernel images, in
// memory only.
//
// It knows the x86 bzImage, ELF kernels (vmlinux), the arm64, riscv and
// loongarch Image, the 32-bit ARM zImage and the s390 image; what may be
// wrapped around them: gzip, bzip2, lzma, xz (with its branch filters), lzop,
// lz4 and zstd, U-Boot's uImage, the EFI zboot program (CONFIG_EFI_ZBOOT) and
// the unified kernel image (UKI); and it says what a file is that is none of
// these.
//
// [Open] reads headers only, so that a kernel which is not wrapped costs a few
// small reads. A wrapped kernel is unpacked into memory, never to a file, up to
// [MaxUnpacked] bytes. Everything in a file is taken for untrusted: offsets and
// lengths are checked against the file, and memory is allocated as data comes,
// not by a length that the file only claims. The exception is the dictionary of
// a decompressor, of at most 128 MiB.
//
// Images of every architecture are read on every architecture; nothing here
// asks the running machine for anything.
package bootimage
