package report

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/btf"
	"github.com/gokexec/gokexec/pkg/kallsyms"
	"github.com/gokexec/gokexec/pkg/object"
)

// symbolNames are the variables and functions whose addresses are needed, with blanks between them.
const symbolNames = "_start _stext _etext _sinittext _einittext __start_BTF __stop_BTF " +
	"saved_command_line dump_stack_arch_desc_str tainted_mask " +
	"modules init_task runqueues __per_cpu_offset nr_cpu_ids __cpu_possible_mask __cpu_online_mask crash_notes panic_cpu crashing_cpu " +
	"__start_orc_unwind_ip __stop_orc_unwind_ip __start_orc_unwind ret_from_fork ret_from_fork_asm handle_exception ret_from_exception_end " +
	votingFunctions + " " +
	"vm_node_stat vm_zone_stat _totalram_pages total_swap_pages nr_swap_pages min_free_kbytes hstates hugetlb_max_hstate " +
	"slab_caches nr_node_ids hwerr_data"

// votingFunctions are functions in C by which the numbers of registers in ORC tables are told.
const votingFunctions = "schedule panic vfs_read vfs_write kernel_clone do_exit kthread wake_up_process mutex_lock schedule_timeout"

// typeNames are the types, members and enumerators that are needed.
const typeNames = "task_struct tasks signal thread_head thread_node pid tgid comm __state state exit_state on_cpu mm group_leader " +
	"se exec_start sched_info last_arrival thread_info cpu flags " +
	"thread sp inactive_task_frame bp ret_addr cpu_context pc fp ra s " +
	"rq curr clock orc_entry pt_regs stackframe frame_record_meta " +
	"blocker blocked_on mutex wait_list mutex_waiter rwsem_waiter list task owner rw_semaphore semaphore last_holder counter count " +
	"module list name version taints mem base size core_layout init_layout text_size arch orc_unwind_ip orc_unwind num_orcs kallsyms symtab num_symtab strtab MOD_TEXT MOD_INIT_TEXT " +
	"MODULE_STATE_LIVE MODULE_STATE_COMING MODULE_STATE_GOING MODULE_STATE_UNFORMED " +
	"NR_ANON_MAPPED NR_FILE_PAGES NR_SHMEM NR_SLAB_RECLAIMABLE_B NR_SLAB_UNRECLAIMABLE_B NR_PAGETABLE NR_KERNEL_STACK_KB NR_FREE_PAGES " +
	"kmem_cache object_size oo x node per_node kmem_cache_node nr_slabs " +
	"mm_struct rss_stat percpu_counter counters MM_FILEPAGES MM_ANONPAGES MM_SWAPENTS MM_SHMEMPAGES " +
	"hstate order nr_huge_pages hwerr_info hwerr_error_type timestamp"

// types reads the symbol table and the types, which most parts need.
func (m *maker) types() (err error) {
	if m.mem == nil {
		return errors.New("the dump has no VMCOREINFO")
	}
	if m.mem.Word != 8 {
		return fmt.Errorf("it is a kernel of %d bits: of those only the log is read", 8*m.mem.Word)
	}
	if m.symbols, err = kallsyms.Read(m.mem, strings.Fields(symbolNames)...); err != nil {
		return err
	}
	start, size, ok := m.symbols.Range("__start_BTF", "__stop_BTF")
	if !ok {
		return errors.New("no BTF in this kernel (CONFIG_DEBUG_INFO_BTF)")
	}
	types, err := btf.Read(m.mem, start, size, strings.Fields(typeNames))
	if err != nil {
		return err
	}
	m.kernel = &object.Kernel{Reader: m.mem, Types: types}
	return nil
}

// symbol returns the address of a variable. The error says that the kernel has none.
func (m *maker) symbol(name string) (uint64, error) {
	if m.symbols == nil {
		return 0, m.noTypes
	}
	addr, ok := m.symbols.Symbol(name)
	if !ok {
		return 0, fmt.Errorf("the kernel has no symbol %s", name)
	}
	return addr, nil
}

// object returns a variable of a type. The error says that the kernel has no such symbol or type.
func (m *maker) object(symbol, typ string) (object.Object, error) {
	if m.kernel == nil {
		return object.Object{}, m.noTypes
	}
	addr, err := m.symbol(symbol)
	if err != nil {
		return object.Object{}, err
	}
	return m.kernel.At(typ, addr)
}

// variable reads a variable of 4 or 8 bytes.
func (m *maker) variable(symbol string, size int) (uint64, error) {
	addr, err := m.symbol(symbol)
	if err != nil {
		return 0, err
	}
	if size == 4 {
		v, err := m.mem.Uint32(addr, symbol)
		return uint64(v), err
	}
	return m.mem.Uint64(addr, symbol)
}

// number is variable; ok is false if it can't be told.
func (m *maker) number(symbol string, size int) (v uint64, ok bool) {
	v, err := m.variable(symbol, size)
	return v, err == nil
}

// field returns a member of a type.
func (m *maker) field(typ, path string) (btf.Field, error) {
	if m.kernel == nil {
		return btf.Field{}, m.noTypes
	}
	id, err := m.kernel.Types.Type(typ)
	if err != nil {
		return btf.Field{}, err
	}
	return m.kernel.Types.Field(id, path)
}
