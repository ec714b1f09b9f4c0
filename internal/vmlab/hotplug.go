package vmlab

import (
	"context"
	"fmt"
	"strings"
)

// HMP runs a command of QEMU's human monitor ("info mtree", "device_del x")
// and returns what it prints. What it reports as an error is one.
func (vm *VM) HMP(ctx context.Context, line string) (string, error) {
	ctx, cancel := vm.step(ctx)
	defer cancel()
	text, err := vm.monitor.human(ctx, line)
	return text, vm.explain("QEMU monitor", err)
}

// AddDIMM hot-adds memory; Config.MaxMemory must allow it. It returns when
// QEMU has done so: the guest sees it a little later.
func (vm *VM) AddDIMM(ctx context.Context, id string, mebibytes int) error {
	_, err := vm.HMP(ctx, fmt.Sprintf("object_add memory-backend-ram,id=%s-mem,size=%dM", id, mebibytes))
	if err != nil {
		return err
	}
	_, err = vm.HMP(ctx, fmt.Sprintf("device_add pc-dimm,id=%s,memdev=%s-mem", id, id))
	return err
}

// RemoveDIMM asks the guest to give memory back; it may refuse, or take its
// time.
func (vm *VM) RemoveDIMM(ctx context.Context, id string) error {
	_, err := vm.HMP(ctx, "device_del "+id)
	return err
}

// AddCPU hot-adds the CPU of a socket, 1 up to Config.MaxCPUs-1.
func (vm *VM) AddCPU(ctx context.Context, socket int) error {
	model := vm.Config.CPU
	if model == "" {
		model = machineSpecs[vm.Config.Kernel.Arch].cpu
	}
	model, _, _ = strings.Cut(model, ",")
	_, err := vm.HMP(ctx, fmt.Sprintf("device_add %s-x86_64-cpu,id=cpu%d,socket-id=%d,core-id=0,thread-id=0", model, socket, socket))
	return err
}
