package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// interruptGrace is how long a command that has begun to end may take.
const interruptGrace = 30 * time.Second

// interrupts has SIGINT and SIGTERM end the process: at once, or where a command is to
// end in an orderly way by its context first, and then at the second signal or when the
// grace is over. A load that is under way is waited for: the kernel frees the old image
// before it takes the new one.
type interrupts struct {
	grace time.Duration
	die   func(os.Signal)
	// outlivePipe has writes to a pipe that nobody reads fail, and no more.
	outlivePipe func()

	mu     sync.Mutex
	cancel context.CancelFunc // of the command; nil where it has nothing to end in order
	temp   string             // a file that is not to outlive the process; "" without
	load   chan struct{}      // holds one while a load is under way
}

// handleInterrupts takes the signals from here on.
func handleInterrupts() *interrupts {
	i := &interrupts{grace: interruptGrace, die: dieBy, outlivePipe: takeSIGPIPE, load: make(chan struct{}, 1)}
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, unix.SIGINT, unix.SIGTERM)
	go i.handle(ch)
	return i
}

func (i *interrupts) handle(ch <-chan os.Signal) {
	sig := <-ch
	i.mu.Lock()
	cancel := i.cancel
	i.mu.Unlock()
	if cancel != nil {
		cancel()
		timer := time.NewTimer(i.grace)
		defer timer.Stop()
		select {
		case sig = <-ch:
		case <-timer.C:
		}
	}
	i.load <- struct{}{}
	i.mu.Lock()
	if i.temp != "" {
		os.Remove(i.temp) // what else could be done about an error?
	}
	i.die(sig)
}

// orderly returns the context by which a command is to end. Nor does it die of a reader
// of its messages that goes away.
func (i *interrupts) orderly(ctx context.Context) context.Context {
	if i == nil {
		return ctx
	}
	i.outlivePipe()
	i.mu.Lock()
	defer i.mu.Unlock()
	ctx, i.cancel = context.WithCancel(ctx)
	return ctx
}

// loading keeps the process alive until done is called.
func (i *interrupts) loading() (done func()) {
	if i == nil {
		return func() {}
	}
	i.load <- struct{}{}
	return func() { <-i.load }
}

// removing has a signal remove an unfinished file until done is called.
func (i *interrupts) removing(name string) (done func()) {
	if i == nil {
		return func() {}
	}
	set := func(name string) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.temp = name
	}
	set(name)
	return func() { set("") }
}

// takeSIGPIPE takes the signal, instead of ignoring it as the programs that are started
// would too.
func takeSIGPIPE() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// dieBy ends the process by the signal's default action, which its parent sees. The
// first process of a PID namespace is spared that (pid_namespaces(7)), and exits.
func dieBy(sig os.Signal) {
	number, _ := sig.(syscall.Signal)
	if os.Getpid() != 1 {
		signal.Reset(sig)
		_ = unix.Kill(os.Getpid(), number)
		time.Sleep(time.Second)
	}
	os.Exit(128 + int(number))
}
