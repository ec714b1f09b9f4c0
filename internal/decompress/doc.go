// Package decompress reads what kernels, initramfs and kernel modules are compressed with:
// gzip, xz, zstd, lz4, lzo, bzip2 and lzma.
//
// A [Codec] reads a file as its tool does; [Stream] reads one stream as the kernel does and stops
// right behind it. Nothing that a header claims is believed: windows and results are bounded.
//
// Two libraries read xz. therootcompany/xz decodes at twice the speed of ulikunitz/xz/lzma and has all
// filters but those of arm64 and riscv, in use since Linux 6.12; the latter decodes LZMA alone and
// LZMA2 below those two filters.
package decompress
