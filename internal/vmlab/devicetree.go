package vmlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gokexec/gokexec/pkg/fdt"
)

// deviceTreeArgs are those for Config.Tree: QEMU writes the tree that it would give
// the guest, and is told to give it the changed one. What QEMU knows of initrd and
// command line it adds to that.
func (vm *VM) deviceTreeArgs(ctx context.Context, qemu []string, major int) ([]string, error) {
	cfg := &vm.Config
	if cfg.Tree == nil {
		return nil, nil
	}
	own, changed := filepath.Join(vm.dir, "own.dtb"), filepath.Join(vm.dir, "changed.dtb")
	spec := machineSpecs[cfg.Kernel.Arch]
	_, err := runTool(ctx, "", qemu[0], append(slices.Clone(qemu[1:]), "-nodefaults", "-no-user-config", "-display", "none", "-machine", cfg.Machine+",dumpdtb="+escape(own),
		"-cpu", spec.cpuArg(cfg, accelerator(), major), "-smp", smpArg(cfg), "-m", cfg.memoryArg())...)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(own)
	if err != nil {
		return nil, err
	}
	tree, err := fdt.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", own, err)
	}
	if err := cfg.Tree(tree.Root); err != nil {
		return nil, fmt.Errorf("change the device tree: %w", err)
	}
	if b, err = tree.AppendBinary(nil); err != nil {
		return nil, err
	}
	return []string{"-dtb", changed}, os.WriteFile(changed, b, 0o644)
}
