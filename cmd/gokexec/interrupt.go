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

// interrupts ends the process on SIGINT and SIGTERM: at once, or, for an orderly command,
// through its context, and then at the second signal or after interruptGrace. It waits for
// a load that is under way, since the kernel frees the old image before it takes the new
// one.
type interrupts struct {
	grace time.Duration
	die   func(os.Signal)
	// listen has the signals handled here. Until then they end the process as they do any
	// other: the threads for it are a tenth of what a short command costs.
	listen func()
	// outlivePipe makes writes to a pipe without a reader fail, without ending the process.
	outlivePipe func()

	mu     sync.Mutex
	cancel context.CancelFunc // of the command; nil if it is not orderly
	temp   string             // a file to remove when the process ends; "" for none
	load   chan struct{}      // holds one while a load is under way
}

// handleInterrupts handles the signals as soon as a command has something to end in order.
func handleInterrupts() *interrupts {
	i := &interrupts{grace: interruptGrace, die: dieBy, outlivePipe: takeSIGPIPE, load: make(chan struct{}, 1)}
	i.listen = sync.OnceFunc(func() {
		ch := make(chan os.Signal, 2)
		signal.Notify(ch, unix.SIGINT, unix.SIGTERM)
		go i.handle(ch)
	})
	if os.Getpid() == 1 { // no signal ends the first process of a PID namespace by itself
		i.listen()
	}
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
		os.Remove(i.temp) // nothing can be done about an error
	}
	i.die(sig)
}

// orderly returns the context through which a command ends. From then on the process also
// survives when the reader of its messages exits.
func (i *interrupts) orderly(ctx context.Context) context.Context {
	if i == nil {
		return ctx
	}
	i.listen()
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
	i.listen()
	i.load <- struct{}{}
	return func() { <-i.load }
}

// removing makes a signal remove an unfinished file, until done is called.
func (i *interrupts) removing(name string) (done func()) {
	if i == nil {
		return func() {}
	}
	i.listen()
	set := func(name string) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.temp = name
	}
	set(name)
	return func() { set("") }
}

// takeSIGPIPE handles the signal. To ignore it would also make child processes ignore it.
func takeSIGPIPE() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// dieBy ends the process by the signal's default action, which its parent sees. For the
// first process of a PID namespace that has no effect (pid_namespaces(7)): it exits.
func dieBy(sig os.Signal) {
	number, _ := sig.(syscall.Signal)
	if os.Getpid() != 1 {
		signal.Reset(sig)
		_ = unix.Kill(os.Getpid(), number)
		time.Sleep(time.Second)
	}
	os.Exit(128 + int(number))
}
