package vmlab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

var (
	// ErrEnded says that QEMU ended before the answer came.
	ErrEnded = errors.New("the virtual machine has ended")
	// ErrRestarted says that another kernel, or another agent, introduced itself
	// before the answer came.
	ErrRestarted = errors.New("the guest has restarted")
)

// GuestError is what went wrong in the guest, in its own words.
type GuestError struct {
	Op      wire.Op
	Message string
}

func (e *GuestError) Error() string { return fmt.Sprintf("guest: %s: %s", e.Op, e.Message) }

// channel is the host's end of the control channel.
type channel struct {
	conn   io.ReadWriteCloser
	out    *wire.Writer
	hellos chan *wire.Hello
	closed chan struct{} // the guest's end is gone

	sending sync.Mutex // held from a request to its acknowledgement

	mu     sync.Mutex
	next   uint64
	calls  map[uint64]*call
	boots  int // hellos so far
	failed error
}

type call struct {
	op      wire.Op
	streams map[string]io.Writer
	acked   chan struct{}
	done    chan struct{} // closed after reply and err are set
	reply   wire.Reply
	err     error
}

func newChannel(conn io.ReadWriteCloser) *channel {
	c := &channel{
		conn:   conn,
		out:    wire.NewWriter(conn, wire.MaxRequest),
		hellos: make(chan *wire.Hello, 64),
		closed: make(chan struct{}),
		calls:  map[uint64]*call{},
	}
	go c.read()
	return c
}

func (c *channel) read() {
	defer close(c.closed)
	in := wire.NewReader(c.conn, wire.MaxReply)
	for {
		var reply wire.Reply
		err := in.Read(&reply)
		switch {
		case errors.Is(err, wire.ErrCorrupt):
			c.failSoon(err)
		case err != nil:
			c.fail(ErrEnded, true)
			return
		default:
			c.take(reply)
		}
	}
}

func (c *channel) take(reply wire.Reply) {
	switch reply.Type {
	case wire.TypeHello:
		c.mu.Lock()
		c.boots++
		c.mu.Unlock()
		c.fail(ErrRestarted, false)
		if reply.Hello != nil {
			select {
			case c.hellos <- reply.Hello:
			default: // no caller has read 64 hellos
			}
		}
		return
	case wire.TypeBad:
		c.failSoon(fmt.Errorf("the guest read a %s", reply.Error))
		return
	}
	c.mu.Lock()
	call := c.calls[reply.ID]
	if reply.Type == wire.TypeDone {
		delete(c.calls, reply.ID)
	}
	c.mu.Unlock()
	if call == nil {
		return // given up on
	}
	switch reply.Type {
	case wire.TypeAck:
		close(call.acked)
	case wire.TypeOutput:
		if w := call.streams[reply.Stream]; w != nil {
			_, _ = w.Write(reply.Data) // a caller's own writer may fail as it likes
		}
	case wire.TypeDone:
		call.reply = reply
		close(call.done)
	}
}

// failSoon fails what waits, unless the damage came from a kernel that was
// replaced in the middle of a frame: then a hello follows.
func (c *channel) failSoon(err error) {
	c.mu.Lock()
	boots := c.boots
	c.mu.Unlock()
	time.AfterFunc(2*time.Second, func() {
		c.mu.Lock()
		same := c.boots == boots
		c.mu.Unlock()
		if same {
			c.fail(err, false)
		}
	})
}

func (c *channel) fail(err error, forGood bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if forGood {
		c.failed = err
	}
	for id, call := range c.calls {
		delete(c.calls, id)
		call.err = err
		close(call.done)
	}
}

// start sends a request and waits for its acknowledgement.
func (c *channel) start(ctx context.Context, op wire.Op, args any, streams map[string]io.Writer) (uint64, *call, error) {
	text, err := json.Marshal(args)
	if err != nil {
		return 0, nil, err
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	started := &call{op: op, streams: streams, acked: make(chan struct{}), done: make(chan struct{})}
	c.mu.Lock()
	c.next++
	id := c.next
	err = c.failed
	if err == nil {
		c.calls[id] = started
	}
	c.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	if err := c.out.Write(wire.Request{ID: id, Op: op, Args: text}); err != nil {
		c.forget(id)
		return 0, nil, fmt.Errorf("send %s: %w", op, err)
	}
	select {
	case <-started.acked:
		return id, started, nil
	case <-started.done:
		return id, started, nil // with an error, or an answer that overtook
	case <-ctx.Done():
		c.forget(id)
		return 0, nil, fmt.Errorf("the guest didn't take the request %s: %w", op, context.Cause(ctx))
	}
}

func (c *channel) forget(id uint64) {
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}

// wait waits for the answer and decodes its result.
func (c *channel) wait(ctx context.Context, id uint64, started *call, result any) error {
	select {
	case <-started.done:
	case <-ctx.Done():
		c.forget(id)
		return fmt.Errorf("no answer to %s: %w", started.op, context.Cause(ctx))
	}
	switch {
	case started.err != nil:
		return fmt.Errorf("%s: %w", started.op, started.err)
	case started.reply.Error != "":
		return &GuestError{started.op, started.reply.Error}
	case result == nil:
		return nil
	}
	return json.Unmarshal(started.reply.Result, result)
}

// call sends a request and waits for its answer.
func (c *channel) call(ctx context.Context, op wire.Op, args, result any, streams map[string]io.Writer) error {
	id, started, err := c.start(ctx, op, args, streams)
	if err != nil {
		return err
	}
	return c.wait(ctx, id, started, result)
}

// callData is call for requests that answer with content.
func (c *channel) callData(ctx context.Context, op wire.Op, args any) ([]byte, error) {
	var content bytes.Buffer
	err := c.call(ctx, op, args, nil, map[string]io.Writer{"data": &content})
	return content.Bytes(), err
}
