package kdumpfile

import (
	"context"
	"sync"
)

// ordered is work that several goroutines do, and whose results are taken in order by one. The items are made
// once and used again.
type ordered[T any] struct {
	ctx context.Context
	// next prepares an item, in order; false means that there are no more.
	next func(*T) (bool, error)
	// work does an item. Only one goroutine has the same number of worker.
	work func(worker int, item *T) error

	free    []*task[T]
	queue   []*task[T] // begun, in order
	jobs    chan *task[T]
	workers sync.WaitGroup
	end     bool
	err     error // of next: it comes after what was begun
}

type task[T any] struct {
	item     T
	err      error
	panicked any // what work panicked with: get does so, too
	done     chan struct{}
}

// newOrdered starts workers. With one there are no goroutines: get does the work.
func newOrdered[T any](ctx context.Context, workers int, next func(*T) (bool, error), work func(int, *T) error) *ordered[T] {
	o := &ordered[T]{ctx: ctx, next: next, work: work}
	if workers <= 1 {
		o.free = append(o.free, new(task[T]))
		return o
	}
	// Two items for each: one to work at, one that waits for its turn or for work.
	n := 2*workers + 1
	o.jobs = make(chan *task[T], n)
	for range n {
		o.free = append(o.free, &task[T]{done: make(chan struct{}, 1)})
	}
	for i := range workers {
		o.workers.Go(func() {
			for t := range o.jobs {
				o.do(i, t)
			}
		})
	}
	return o
}

func (o *ordered[T]) do(worker int, t *task[T]) {
	defer func() {
		t.panicked = recover()
		t.done <- struct{}{}
	}()
	t.err = o.work(worker, &t.item)
}

// get returns the next item that is done, nil after the last one. It is lent until put.
func (o *ordered[T]) get() (*task[T], error) {
	if o.ctx.Err() != nil {
		return nil, context.Cause(o.ctx)
	}
	for !o.end && len(o.free) > 0 {
		t := o.free[len(o.free)-1]
		ok, err := o.next(&t.item)
		if !ok || err != nil {
			o.end, o.err = true, err
			break
		}
		o.free = o.free[:len(o.free)-1]
		o.queue = append(o.queue, t)
		if o.jobs == nil {
			t.err = o.work(0, &t.item)
			break
		}
		o.jobs <- t
	}
	if len(o.queue) == 0 {
		return nil, o.err
	}
	t := o.queue[0]
	if o.jobs != nil {
		select {
		case <-t.done:
		case <-o.ctx.Done():
			return nil, context.Cause(o.ctx)
		}
		if t.panicked != nil {
			panic(t.panicked)
		}
	}
	copy(o.queue, o.queue[1:])
	o.queue = o.queue[:len(o.queue)-1]
	return t, t.err
}

// put gives an item back.
func (o *ordered[T]) put(t *task[T]) { o.free = append(o.free, t) }

// stop ends the workers; get must not be called any more.
func (o *ordered[T]) stop() {
	if o.jobs == nil {
		return
	}
	for len(o.jobs) > 0 {
		select {
		case <-o.jobs: // nobody waits for it
		default:
		}
	}
	close(o.jobs)
	o.workers.Wait()
}
