// Layout of the parameter block, the same for every architecture. The loader
// side is params.go; doc.go has the table. Offsets in bytes.
#define P_MAGIC     0x000
#define P_VERSION   0x008
#define P_MEMSIZE   0x00c
#define P_FLAGS     0x010
#define P_NREGIONS  0x018
#define P_ENTRY     0x020
#define P_ARG       0x028
#define P_BKP_SRC   0x030
#define P_BKP_SIZE  0x038
#define P_BKP_DST   0x040
#define P_SER_ADDR  0x048
#define P_SER_KIND  0x050
#define P_SER_DIV   0x054
#define P_RESERVED  0x058
#define P_DIGEST    0x060
#define P_REGIONS   0x080
#define P_MISMATCH  0x180
#define P_FAULT     0x1d0
#define P_SIZE      0x220

#define PARAMS_VERSION 1

#define FLAG_SKIP_CHECKS 1
#define FLAG_SME         2

#define SERIAL_8250_PORT   1
#define SERIAL_8250_MMIO   2
#define SERIAL_8250_MMIO32 3
#define SERIAL_PL011       4
#define SERIAL_SBI         5
#define SERIAL_HVC         6

// The block itself: magic "GKXPURG1", version, memory size, the rest zero.
// D32 is the architecture's directive for a 32-bit word.
#ifdef BIG_ENDIAN
#define MAGIC D32($0x474b5850); D32($0x55524731)
#else
#define MAGIC D32($0x50584b47); D32($0x31475255)
#endif
#define Z16 D32($0); D32($0); D32($0); D32($0)
#define Z64 Z16; Z16; Z16; Z16
#define PARAMS_BLOCK(memsize) \
	MAGIC; D32($PARAMS_VERSION); D32($memsize); \
	Z16; Z16; Z16; \
	Z64; Z64; Z64; Z64; Z64; Z64; Z64; \
	Z16; Z16
