// Memory after the code, zero at load: the last page of MEMSIZE is the stack.
#define MEMSIZE 0x2000

// What is at fixed distances from the beginning, since the code finds itself by the program counter. The first 256 bytes
// are those of the kernel, but for the first word (doc.go).
#define O_PARAMS 0x100
#define O_CONST  0x320
#define O_HASH   0x420
#define O_CODE   0x440
