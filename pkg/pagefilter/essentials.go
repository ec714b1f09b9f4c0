package pagefilter

import (
	"debug/elf"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Bounds of what is looked at.
const (
	maxLogPages = 1024
	maxCPUs     = 1 << 13
	maxTables   = 1 << 15
	stackBytes  = 16 << 10 // THREAD_SIZE, where pages are not larger and KASAN doesn't double it
)

const kernelTables = "page tables of the kernel"

// essentials checks places without which no dump can be used.
func (c *checker) essentials() {
	for _, name := range []string{"swapper_pg_dir", "init_top_pgt", "init_uts_ns", "_stext", "prb", "node_data", "contig_page_data", "mem_section", "mem_map"} {
		if addr, ok := c.f.info.Symbol(name); ok {
			c.virtual(addr, name)
			c.tables(addr)
		}
	}
	for _, node := range c.nodes {
		c.virtual(node, "a node's pglist_data")
	}
	c.pageTables()
	for i, cpu := range c.f.cpuRegisters() {
		c.stack(cpu.stack, fmt.Sprintf("the stack of CPU %d", i))
		if cpu.task != 0 {
			c.virtual(cpu.task, fmt.Sprintf("the task of CPU %d", i))
		}
	}
	c.log()
}

// pageTables checks the kernel's page tables, from which all else is found.
func (c *checker) pageTables() {
	tables := c.space.KernelTables(maxTables)
	slices.Sort(tables)
	known := classLookup{runs: c.known}
	for _, t := range tables {
		// A table of a running machine may be newer than the survey.
		if class, ok := known.class(c.f.frame(t)); !ok || class != Kept {
			c.lost(c.classOf(t), t, kernelTables)
		}
	}
}

// stack checks a stack from the stack pointer on.
func (c *checker) stack(sp uint64, what string) {
	page := uint64(1) << c.f.shift
	size := max(stackBytes, page)
	for at, end := sp, sp|(size-1); at <= end && at >= sp; at = at&^(page-1) + page {
		c.tables(at)
		c.virtual(at, what)
	}
}

// log checks the pages of the kernel log: log_buf, or the arrays of the printk ring buffer.
func (c *checker) log() {
	pages := uint64(maxLogPages)
	area := func(start, size uint64, name string) {
		step := uint64(1) << c.f.shift
		for at := uint64(0); at < size && pages > 0; at += step {
			c.virtual(start+at, name)
			pages--
		}
	}
	if buf, ok := c.pointer("log_buf"); ok {
		if addr, ok := c.f.info.Symbol("log_buf_len"); ok {
			if n, err := c.r.Uint32(addr, "log_buf_len"); err == nil {
				area(buf, uint64(n), "the kernel log")
			}
		}
	}
	prb, ok := c.pointer("prb")
	l := vmcore.Layout{Info: c.f.info}
	descs := l.Offset("printk_ringbuffer.desc_ring") + l.Offset("prb_desc_ring.descs")
	infos := l.Offset("printk_ringbuffer.desc_ring") + l.Offset("prb_desc_ring.infos")
	text := l.Offset("printk_ringbuffer.text_data_ring") + l.Offset("prb_data_ring.data")
	sizeBits := l.Offset("printk_ringbuffer.text_data_ring") + l.Offset("prb_data_ring.size_bits")
	if !ok || l.Err != nil {
		return
	}
	for _, at := range []uint64{descs, infos, text} {
		if p, err := c.r.Ulong(prb+at, "prb"); err == nil {
			c.virtual(p, "the kernel log")
		}
	}
	if n, err := c.r.Uint32(prb+sizeBits, "prb"); err == nil && n < 32 {
		if p, err := c.r.Ulong(prb+text, "prb"); err == nil {
			area(p, 1<<n, "the kernel log")
		}
	}
}

// pointer reads the pointer variable of a SYMBOL.
func (c *checker) pointer(name string) (uint64, bool) {
	addr, ok := c.f.info.Symbol(name)
	if !ok {
		return 0, false
	}
	p, err := c.r.Ulong(addr, name)
	return p, err == nil && p != 0
}

// structPages checks the memory that has the struct page of a page frame, and the page tables to it.
func (c *checker) structPages(pfn uint64) {
	if addr, _, ok := c.f.pages.find(pfn); ok {
		c.virtual(addr, "struct pages")
		c.tables(addr)
	}
}

// tables checks the page tables that translate a virtual address.
func (c *checker) tables(addr uint64) {
	for _, t := range c.space.Tables(addr) {
		c.physical(t, kernelTables)
	}
}

// noter is a Memory with the ELF notes of a dump.
type noter interface{ Notes() []vmcore.Note }

// cpus is how many CPUs the machine had, as far as the dump tells.
func (f *Filter) cpus() int {
	n := 0
	if d, ok := f.mem.(noter); ok {
		for _, note := range d.Notes() {
			if note.Type == elf.NT_PRSTATUS && note.Name == "CORE" {
				n++
			}
		}
	}
	return min(max(n, 1), maxCPUs)
}

// registers are those of a CPU that was in the kernel.
type registers struct {
	stack uint64
	task  uint64 // address of its task_struct; 0: no register has it
}

// cpuRegisters returns the registers of each CPU that was in the kernel, from its elf_prstatus.
func (f *Filter) cpuRegisters() (cpus []registers) {
	d, ok := f.mem.(noter)
	a := archOf(f.mem.Platform().Machine)
	if !ok || a == nil {
		return nil
	}
	for _, note := range d.Notes() {
		if note.Type != elf.NT_PRSTATUS || note.Name != "CORE" || len(note.Desc) < max(a.stackAt, a.taskAt)+8 || len(cpus) >= maxCPUs {
			continue
		}
		cpu := registers{stack: f.mem.Platform().Order.Uint64(note.Desc[a.stackAt:])}
		if int64(cpu.stack) >= 0 {
			continue
		}
		if a.taskAt != 0 {
			cpu.task = f.mem.Platform().Order.Uint64(note.Desc[a.taskAt:])
		}
		cpus = append(cpus, cpu)
	}
	return cpus
}
