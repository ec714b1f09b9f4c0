package hotplug

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Daemon handles every event for which wait (Socket.Wait) returns, until ctx ends or
// wait fails. It checks once at the start, since something may have happened before.
// Between events it sleeps. After a check that ended with a problem it checks again
// after RetryMin, then after twice that and so on up to RetryMax, at most MaxAttempts
// times, or until the next event.
//
// Events are received while it reloads; one check afterwards covers all of them. Daemon
// does not return before a reload that has begun is done.
func (h *Handler) Daemon(ctx context.Context, wait func() error) error {
	h.setMark(h.process())
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	failed := make(chan error, 1)
	go func() {
		for {
			if err := wait(); err != nil {
				failed <- err
				return
			}
			if err := h.Dir.Mark(); err != nil {
				h.report(false, "an event can't be marked: "+err.Error())
			}
			select {
			case wake <- struct{}{}:
			default: // a check is due already
			}
		}
	}()
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if errors.Is(err, os.ErrClosed) && ctx.Err() != nil {
				return nil
			}
			return err
		case <-wake:
			failures = 0
		case <-retry.C:
		}
		retry.Stop()
		if _, err := h.handle(ctx, h.process()); err != nil && ctx.Err() == nil {
			h.report(true, err.Error())
			if failures++; failures <= MaxAttempts {
				retry.Reset(retryAfter(failures))
			}
		}
	}
}

// notifyTimeout is how long the service manager may take to read a state.
const notifyTimeout = 5 * time.Second

// Notify reports a state, such as "READY=1", to the service manager (sd_notify(3)). If
// there is none it does nothing.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if name[0] != '/' && name[0] != '@' {
		return fmt.Errorf("NOTIFY_SOCKET %q: neither a path nor an abstract name", name)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	// Do not wait for a service manager that hangs.
	err = conn.SetWriteDeadline(time.Now().Add(notifyTimeout))
	if err == nil {
		_, err = conn.Write([]byte(state))
	}
	return errors.Join(err, conn.Close())
}
