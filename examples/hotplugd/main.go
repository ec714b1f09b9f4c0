// Command hotplugd keeps the crash kernel that gokexec (or examples/init) has loaded accurate when memory or
// CPUs are hot-added or hot-removed, like gokexec hotplug --daemon. It shows how to embed that in a program of
// your own. It shares locks with gokexec, so both may run on one machine. Run it as root:
//
//	go build -o hotplugd ./examples/hotplugd && ./hotplugd
package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/hotplug"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/statedir"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := watch(ctx); err != nil {
		log.Fatal(err)
	}
}

// watch handles hotplug events until ctx ends.
func watch(ctx context.Context) error {
	l, err := loader.System()
	if err != nil {
		return err
	}
	socket, err := hotplug.OpenSocket()
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { socket.Close() }) // which makes socket.Wait return
	h := &hotplug.Handler{
		Dir:    statedir.Default,
		Check:  func(context.Context) hotplug.Status { return check(l) },
		Reload: func(ctx context.Context, a hotplug.Attempt) error { return reload(ctx, l, a) },
		Report: func(_ bool, line string) { log.Print(line) },
	}
	return h.Daemon(ctx, socket.Wait)
}

// check compares the loaded elfcorehdr with the machine.
func check(l *loader.Loader) hotplug.Status {
	found := accuracy.Verify(l.Root, l.StateDir)
	return hotplug.Status{State: found.Accuracy, Detail: found.String(), Unchanged: found.Unchanged}
}

// reload loads again what was loaded last, for the machine as it is now.
func reload(ctx context.Context, l *loader.Loader, a hotplug.Attempt) error {
	_, err := l.Reload(ctx, loader.ReloadOptions{LockHeld: true, Lost: a.Lost})
	return err
}
