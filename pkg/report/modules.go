package report

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/kallsyms"
	"github.com/gokexec/gokexec/pkg/object"
	"github.com/gokexec/gokexec/pkg/unwind"
)

// maxModules bounds the modules.
const maxModules = 4096

// loadedModule is what is needed of a module to name addresses in it and to walk through it.
type loadedModule struct {
	name    string
	text    []unwind.Range
	memory  []unwind.Range // text and all else
	symbols kallsyms.Module
	orc     unwind.Table
}

// modules fills in the loaded modules.
func (m *maker) modules() error {
	head, err := m.symbol("modules")
	if err != nil {
		return err
	}
	if m.kernel == nil {
		return m.noTypes
	}
	var damaged error
	err = m.kernel.List(head, "module", "list", func(o object.Object) error {
		if err := m.module(o); err != nil && damaged == nil {
			damaged = fmt.Errorf("module at %#x: %w", o.Address, err)
		}
		if len(m.loaded) >= maxModules {
			return fmt.Errorf("more than %d modules", maxModules)
		}
		return m.ctx.Err()
	})
	if err == nil {
		err = damaged
	}
	return err
}

// module reads one.
func (m *maker) module(o object.Object) error {
	name, err := o.String("name")
	if err != nil {
		return err
	}
	out := Module{Name: printable(name), State: m.moduleState(o)}
	if v, err := o.String("version"); err == nil {
		out.Version = printable(v)
	}
	if taint, err := o.Uint("taints"); err == nil {
		out.Taint = taintLetters(taint)
	}
	l := loadedModule{name: out.Name}
	if err := m.layout(o, &out, &l); err != nil {
		return err
	}
	// Where these can't be read there are no names and no frames beyond it.
	if k, err := o.Follow("kallsyms"); err == nil && k.Address != 0 {
		l.symbols.Symbols, _ = k.Uint("symtab")
		l.symbols.Count, _ = k.Uint("num_symtab")
		l.symbols.Strings, _ = k.Uint("strtab")
	}
	if n, err := o.Uint("arch.num_orcs"); err == nil {
		l.orc = unwind.Table{Text: l.text, Count: n}
		l.orc.IP, _ = o.Uint("arch.orc_unwind_ip")
		l.orc.Entries, _ = o.Uint("arch.orc_unwind")
	}
	m.report.Modules = append(m.report.Modules, out)
	m.loaded = append(m.loaded, l)
	return nil
}

// layout fills in where a module is: module.mem since Linux 6.4, and its two struct module_layout before.
func (m *maker) layout(o object.Object, out *Module, l *loadedModule) error {
	mem, err := o.Member("mem")
	if err != nil {
		return m.oldLayout(o, out, l)
	}
	text, init := uint64(0), uint64(4)
	if v, ok := m.kernel.Types.Constant("MOD_TEXT"); ok {
		text = uint64(v)
	}
	if v, ok := m.kernel.Types.Constant("MOD_INIT_TEXT"); ok {
		init = uint64(v)
	}
	for i := range uint64(mem.Field.Count) {
		part, err := mem.Index("", i)
		if err != nil {
			return err
		}
		base, err := part.Uint("base")
		if err != nil {
			return err
		}
		size, err := part.Uint("size")
		if err != nil {
			return err
		}
		if i == text {
			out.Address = Address(base)
		}
		if i < init {
			out.Size += size
		}
		r := unwind.Range{Start: base, End: base + size}
		if (i == text || i == init) && size > 0 {
			l.text = append(l.text, r)
		}
		l.memory = append(l.memory, r)
	}
	return nil
}

// oldLayout is layout before Linux 6.4.
func (m *maker) oldLayout(o object.Object, out *Module, l *loadedModule) error {
	for _, name := range []string{"core_layout", "init_layout"} {
		base, err := o.Uint(name + ".base")
		if err != nil {
			return err
		}
		size, err := o.Uint(name + ".size")
		if err != nil {
			return err
		}
		text, err := o.Uint(name + ".text_size")
		if err != nil {
			return err
		}
		if out.Address == 0 {
			out.Address, out.Size = Address(base), size
		}
		l.memory = append(l.memory, unwind.Range{Start: base, End: base + size})
		if text > 0 {
			l.text = append(l.text, unwind.Range{Start: base, End: base + text})
		}
	}
	return nil
}

// moduleState is the state of a module in words.
func (m *maker) moduleState(o object.Object) string {
	state, err := o.Int("state")
	if err != nil {
		return ""
	}
	for _, s := range []struct{ constant, word string }{
		{"MODULE_STATE_LIVE", "live"}, {"MODULE_STATE_COMING", "coming"}, {"MODULE_STATE_GOING", "going"}, {"MODULE_STATE_UNFORMED", "unformed"},
	} {
		if v, ok := m.kernel.Types.Constant(s.constant); ok && v == state {
			return s.word
		}
	}
	return fmt.Sprint(state)
}
