package ship_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/storelab"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
	"github.com/gokexec/gokexec/pkg/ship"
	"github.com/gokexec/gokexec/pkg/store"
)

var (
	kills = flag.Int("ship.kills", 30, "how often uploaders and servers are killed")
	nodes = flag.Int("ship.nodes", 200, "how many machines crash for the same reason")
)

// The environment of an uploader: this test, run again.
const (
	uploaderDir      = "GOKEXEC_TEST_SHIP_DIR"
	uploaderEndpoint = "GOKEXEC_TEST_SHIP_ENDPOINT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(uploaderDir); dir != "" {
		os.Exit(upload(dir, os.Getenv(uploaderEndpoint)))
	}
	os.Exit(m.Run())
}

// upload ships a directory, for as long as it lives.
func upload(dir, endpoint string) int {
	s := remote.Settings{Location: "s3://" + storelab.Bucket + "/kill", Endpoint: endpoint, PathStyle: true, Credentials: remote.FromEnvironment, PartBytes: remote.MinPart, StallTimeoutSeconds: 5, PatienceSeconds: 20}
	st, err := store.Open(context.Background(), s, store.Options{Getenv: storelab.Getenv})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	sum, err := shipper(st).Run(context.Background(), dir)
	fmt.Println("reused", sum.Reused)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Uploaders and the server are killed at random moments. In the end all is there, and right.
func TestShipKilled(t *testing.T) {
	server := storelab.StartS3(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const size = 28<<20 + 77
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	content := make([]byte, size)
	var key [32]byte
	killed, serverKilled, finished, reused := 0, 0, 0, int64(0)
	for killed < *kills {
		dir := t.TempDir()
		key[0]++
		_, _ = rand.NewChaCha8(key).Read(content)
		want := sha256.Sum256(content)
		makeDump(t, dir, crashTime(int(key[0])), content, "")
		for attempt := 0; ; attempt++ {
			if attempt > 200 {
				t.Fatal("it does not come to an end")
			}
			c := exec.Command(self)
			// The race detector would have it wait for a second when it has ended.
			c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", uploaderDir+"="+dir, uploaderEndpoint+"="+server.Settings("").Endpoint)
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(20+random.IntN(2000))*time.Millisecond, func() { _ = c.Process.Kill() })
			if attempt == 0 {
				// The first one is killed when there is something to resume, however busy this machine is.
				timer.Stop()
				for deadline := time.Now().Add(time.Minute); !partStored(t, server) && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
				timer.Reset(0)
			} else if random.IntN(3) == 0 && killed < *kills {
				time.Sleep(time.Duration(10+random.IntN(200)) * time.Millisecond)
				server.Kill()
				killed, serverKilled = killed+1, serverKilled+1
				server.Start()
			}
			err := c.Wait()
			timer.Stop()
			// It may have been killed after it had said so.
			if n, ok := strings.CutPrefix(out.String(), "reused "); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
				reused += n
			}
			if c.ProcessState.ExitCode() == -1 {
				killed++
				continue
			}
			if err != nil {
				t.Logf("an attempt: %s", out.Bytes())
				continue
			}
			break
		}
		finished++
		f, err := os.Open(server.Path("kill/" + fleet.Object(id(int(key[0])), "vmcore")))
		if err != nil {
			t.Fatalf("lost: %v", err)
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		f.Close()
		if err != nil || !bytes.Equal(sum.Sum(nil), want[:]) {
			t.Fatalf("dump %d is corrupt: %x, %v; want %x", key[0], sum.Sum(nil), err, want)
		}
		if rec, err := ship.ReadRecord(filepath.Join(dir, crashTime(int(key[0])).Format("20060102T150405Z"))); err != nil || !rec.Confirmed || rec.VMCore != fleet.Stored {
			t.Fatalf("%+v, %v", rec, err)
		}
		_ = os.Remove(f.Name())
		_ = os.RemoveAll(dir)
	}
	t.Logf("%d kills, of them %d of the server: %d dumps of %d MB are stored, all whole; %d MB of the last attempts were not sent again", killed, serverKilled, finished, size/1000000, reused/1e6)
	if reused == 0 && *kills >= 30 {
		t.Error("nothing was resumed")
	}
}

// partStored tells whether the server has the first part of an upload that has not ended: it gets the second one then.
func partStored(t *testing.T, server *storelab.S3) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(server.Path(""), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has just been removed
		}
		if d.Type().IsRegular() && filepath.Base(name) == "2" {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Machines with one fingerprint, some of which die after their claim: all manifests are stored, and no more
// dumps than wanted.
func TestShipFleet(t *testing.T) {
	server := storelab.StartS3(t)
	for round, dying := range []int{0, 30, 70} {
		st, err := store.Open(t.Context(), server.Settings(fmt.Sprint("fleet", round)), store.Options{Getenv: storelab.Getenv})
		if err != nil {
			t.Fatal(err)
		}
		fleetRound(t, st, dying)
	}
}

// dyingStore is a machine that dies when it is about to send its memory.
type dyingStore struct {
	store.Store
	die  bool
	dead *atomic.Int64
}

var errDead = errors.New("this machine is dead")

func (d dyingStore) Put(ctx context.Context, name string, src store.Source) (remote.Stored, error) {
	if d.die && strings.HasSuffix(name, "/vmcore") {
		d.dead.Add(1)
		return remote.Stored{}, errDead
	}
	return d.Store.Put(ctx, name, src)
}

func fleetRound(t *testing.T, st store.Store, dying int) {
	const ttl = 3 * time.Second
	var dead, sent, duplicates atomic.Int64
	begin := time.Now()
	base := t.TempDir()
	waiting := make(chan int, *nodes)
	for n := range *nodes {
		waiting <- n
	}
	var left atomic.Int64
	left.Store(int64(*nodes))
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for left.Load() > 0 {
				var n int
				select {
				case n = <-waiting:
				case <-time.After(50 * time.Millisecond):
					continue
				}
				dir := filepath.Join(base, fmt.Sprint(n))
				if _, err := os.Stat(dir); err != nil {
					makeDump(t, dir, crashTime(0), []byte(fmt.Sprintf("memory of machine %d", n)), "kernel-panic-one")
				}
				s := shipper(dyingStore{st, rand.IntN(100) < dying, &dead})
				s.MachineID, s.TTL = fmt.Sprintf("%032d", n), ttl
				sum, err := s.Run(t.Context(), dir)
				switch {
				case errors.Is(err, errDead):
					left.Add(-1) // for ever
				case errors.Is(err, ship.ErrDeferred):
					time.Sleep(100 * time.Millisecond)
					waiting <- n
				case err != nil:
					t.Error(err)
					left.Add(-1)
				default:
					sent.Add(int64(sum.Sent))
					duplicates.Add(int64(sum.Duplicates))
					left.Add(-1)
				}
			}
		})
	}
	group.Wait()
	manifests, dumps := 0, 0
	for n := range *nodes {
		crash := fleet.CrashID(fmt.Sprintf("%032d", n), crashTime(0), 0)
		if _, err := st.Stat(t.Context(), fleet.Object(crash, fleet.ManifestName)); err == nil {
			manifests++
		}
		if _, err := st.Stat(t.Context(), fleet.Object(crash, "vmcore")); err == nil {
			dumps++
		}
	}
	t.Logf("%d machines, %d %% of the winners die (%d did): %d dumps, %d manifests, %d without memory; %v", *nodes, dying, dead.Load(), dumps, manifests, duplicates.Load(), time.Since(begin).Round(time.Millisecond))
	if manifests != *nodes || dumps != fleet.DefaultLimit || int64(dumps) != sent.Load() {
		t.Errorf("%d manifests and %d dumps; want %d and %d", manifests, dumps, *nodes, fleet.DefaultLimit)
	}
}
