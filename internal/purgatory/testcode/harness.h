// The harness's parameter block; harness_test.go fills it in. Offsets in bytes.
#define H_MAGIC   0x00
#define H_BLOB    0x08  // bare: where the purgatory is; user: its parameters
#define H_VERIFY  0x10  // user: verify
#define H_ACCEL   0x18  // user: its argument, may it use special instructions
#define H_DUMP    0x20  // memory to write out afterwards
#define H_DUMPLEN 0x28
#define H_MODE    0x30

#define MODE_E2H     1  // arm64: run EL2 with HCR_EL2.E2H
#define MODE_SM      2  // arm64: enter in streaming mode

#ifdef BIG_ENDIAN
#define MAGIC D32($0x474b5850); D32($0x55524731)
#else
#define MAGIC D32($0x50584b47); D32($0x31475255)
#endif

#define HARNESS_BLOCK \
	MAGIC; D32($0); D32($0); \
	D32($0); D32($0); D32($0); D32($0); \
	D32($0); D32($0); D32($0); D32($0); \
	D32($0); D32($0); D32($0); D32($0)
