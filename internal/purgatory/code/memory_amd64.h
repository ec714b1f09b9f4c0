// Memory after the code, zero at load: SCRATCH is where it begins (the code
// must end before it), MEMSIZE where it ends; the stack grows down from there.
#define SCRATCH   0x1000
#define MEMSIZE   0x2000
#define IDT       (SCRATCH+0x000)
#define IDT_LIMIT 511
#define STATE     (SCRATCH+0x200)
