// Memory after the code. It is not used: the stack is the kernel's.
#define MEMSIZE 0x2000
