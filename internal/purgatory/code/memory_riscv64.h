// Memory after the code, zero at load: the last page of MEMSIZE is the stack.
#define MEMSIZE 0x2000
