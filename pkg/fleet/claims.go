package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/gokexec/gokexec/pkg/store"
)

// Defaults of Claims.
const (
	DefaultLimit = 3
	DefaultTTL   = 6 * time.Hour
)

// maxGenerations bounds how often a dump is claimed by one after the other.
const maxGenerations = 1000

// maxClaim bounds a claim, in bytes.
const maxClaim = 4096

// Claims decide which machines send the memory of crashes with the same fingerprint.
type Claims struct {
	Store store.Store
	// Limit is how many dumps of a fingerprint are stored. Default: 3.
	Limit int
	// TTL is how old a claim may become without being renewed. Then its owner counts as dead, and another may take its
	// place. Default: 6 hours.
	TTL time.Duration
	// Has tells whether the memory of a crash is stored: its owner may have died just then.
	Has func(ctx context.Context, crashID string) (bool, error)
}

// Errors of Take.
var (
	// ErrEnough: as many dumps as are wanted are stored.
	ErrEnough = errors.New("enough dumps of this fingerprint are stored")
	// ErrBusy: others are sending them. Come again later, since they may not live.
	ErrBusy = errors.New("others are sending dumps of this fingerprint")
	// ErrLost: a claim was not renewed in time, and another has it.
	ErrLost = errors.New("the claim to send this dump was taken over by another machine")
)

// claim is the contents of a claim.
type claim struct {
	Owner string `json:"owner"` // a crash ID
}

// Claim is the leave to send the memory of a crash.
type Claim struct {
	claims      *Claims
	fingerprint string
	slot, gen   int
	data        []byte
}

func (c *Claims) limit() int {
	if c.Limit == 0 {
		return DefaultLimit
	}
	return c.Limit
}

func (c *Claims) ttl() time.Duration {
	if c.TTL == 0 {
		return DefaultTTL
	}
	return c.TTL
}

func slotName(fingerprint string, slot int, what string) string {
	return fmt.Sprintf("fingerprints/%s/%d/%s", fingerprintName(fingerprint), slot, what)
}

func (c *Claim) name(gen int) string {
	return slotName(c.fingerprint, c.slot, fmt.Sprintf("claim.%d", gen))
}

// Take claims one of the dumps of a fingerprint for a crash. A claim that it has already, from before it was killed, is
// given again. Errors are ErrEnough, ErrBusy, store.ErrUnconditional, and those of the store.
func (c *Claims) Take(ctx context.Context, fingerprint, crashID string) (*Claim, error) {
	if fingerprint == "" {
		return nil, errors.New("a crash without a fingerprint needs no claim")
	}
	data, err := json.Marshal(claim{crashID})
	if err != nil {
		return nil, err
	}
	busy := false
	for slot := range c.limit() {
		taken, err := c.slot(ctx, &Claim{claims: c, fingerprint: fingerprint, slot: slot, data: data}, crashID)
		switch {
		case err != nil && !errors.Is(err, ErrBusy):
			return nil, err
		case taken != nil:
			return taken, nil
		}
		busy = busy || err != nil
	}
	if busy {
		return nil, ErrBusy
	}
	return nil, ErrEnough
}

// slot tries to get one of the dumps; nil without an error: it is stored.
func (c *Claims) slot(ctx context.Context, t *Claim, crashID string) (*Claim, error) {
	done := slotName(t.fingerprint, t.slot, "done")
	if _, err := c.Store.Stat(ctx, done); err == nil {
		return nil, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for t.gen = range maxGenerations {
		created, err := c.Store.PutNew(ctx, t.name(t.gen), t.data)
		if err != nil {
			return nil, err
		}
		if created {
			if err := c.trustworthy(ctx, t); err != nil {
				return nil, err
			}
			held, err := t.held(ctx)
			if err != nil {
				return nil, err
			}
			if held {
				return t, t.Renew(ctx)
			}
			continue // from before, and another has it since
		}
		b, info, err := c.Store.Get(ctx, t.name(t.gen), maxClaim)
		if err != nil {
			return nil, err
		}
		if info.Age <= c.ttl() {
			return nil, ErrBusy
		}
		if stored, err := c.finished(ctx, t, b); err != nil || stored {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %d machines have claimed it, and none has stored it", t.name(0), maxGenerations)
}

// finished tells whether the owner of an old claim has stored its dump, and died before it could say so.
func (c *Claims) finished(ctx context.Context, t *Claim, b []byte) (bool, error) {
	var old claim
	if c.Has == nil || json.Unmarshal(b, &old) != nil || old.Owner == "" {
		return false, nil
	}
	stored, err := c.Has(ctx, old.Owner)
	if err != nil || !stored {
		return false, err
	}
	return true, t.done(ctx, b)
}

// trustworthy checks that the store refuses to create a claim again: some take the condition, and ignore it.
func (c *Claims) trustworthy(ctx context.Context, t *Claim) error {
	again, err := c.Store.PutNew(ctx, t.name(t.gen), append(bytes.Clone(t.data), '\n'))
	if err != nil {
		return err
	}
	if again {
		return store.ErrUnconditional
	}
	return nil
}

// held tells whether nobody has taken the claim over.
func (t *Claim) held(ctx context.Context) (bool, error) {
	_, err := t.claims.Store.Stat(ctx, t.name(t.gen+1))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// Check returns ErrLost if another machine has taken the claim over.
func (t *Claim) Check(ctx context.Context) error {
	held, err := t.held(ctx)
	if err == nil && !held {
		err = ErrLost
	}
	return err
}

// Renew makes the claim young again.
func (t *Claim) Renew(ctx context.Context) error {
	_, err := t.claims.Store.Put(ctx, t.name(t.gen), store.Source{Reader: bytes.NewReader(t.data), Estimate: int64(len(t.data))})
	return err
}

// KeepAlive renews the claim from time to time until ctx ends. lost is called once if it was taken over.
func (t *Claim) KeepAlive(ctx context.Context, lost func(error)) {
	tick := time.NewTicker(t.claims.ttl() / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := t.Check(ctx)
		if err == nil {
			err = t.Renew(ctx)
		}
		if errors.Is(err, ErrLost) {
			lost(err)
			return
		}
	}
}

// Done says that the dump is stored.
func (t *Claim) Done(ctx context.Context) error { return t.done(ctx, t.data) }

func (t *Claim) done(ctx context.Context, data []byte) error {
	_, err := t.claims.Store.PutNew(ctx, slotName(t.fingerprint, t.slot, "done"), data)
	return err
}
