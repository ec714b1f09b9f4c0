package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/printk"
)

const (
	// drillPoll is how often targets are looked for that are not there yet.
	drillPoll = time.Second
	// drillSlack is how much earlier than its request a drill's crash may seem: clocks are set.
	drillSlack = 2 * time.Minute
	// maxStage bounds a stage that is believed: longer ones are clocks that differ, such as an RTC in local time.
	maxStage = 30 * time.Minute
	// maxAway is the same for all of it, between two clocks that are set.
	maxAway = 24 * time.Hour
)

// drillReport is what drill --verify --json prints.
type drillReport struct {
	*lastDrill
	Checks []advice.Finding `json:"checks"`
}

// verifyLast verifies the drill that is under way, and notes how it ended.
func (o *drillOptions) verifyLast(ctx context.Context, e *env) error {
	r, err := readDrill[drillRecord](e.libDir, drillName)
	if errors.Is(err, fs.ErrNotExist) {
		return &exitError{code: exitNotLoaded, err: &advice.Problem{What: "no drill is under way: there is no " + e.drillFile(drillName), Hint: "gokexec drill begins one; gokexec status shows how the last one ended"}}
	}
	last := &lastDrill{Version: drillVersion, Verified: time.Now().UTC()}
	if err != nil {
		last.Reason = "what it expected can't be read: " + err.Error()
		return o.conclude(e, last, nil)
	}
	last.Requested, last.Release = r.Requested, r.Release
	root := os.DirFS(e.sysroot)
	id, err := sysfs.ReadString(root, bootIDPath)
	if err != nil {
		return err
	}
	if id == r.BootID {
		return &advice.Problem{What: "the machine has not crashed since the drill was requested: it is the same boot", Hint: "gokexec drill begins another one"}
	}
	d, err := o.await(ctx, e, r)
	if err != nil {
		last.Reason = err.Error()
		return o.conclude(e, last, nil)
	}
	last.Target, last.Dump = d.target, d.path
	findings := r.verify(d)
	last.Verified = time.Now().UTC()
	last.Away = drillTimesOf(root, d.result, last.Verified)
	last.Passed = true
	for _, f := range slices.Backward(findings) {
		if f.Level == advice.Failure {
			last.Passed, last.Reason = false, fmt.Sprintf("%s: %s", f.Check, f.Detail)
		}
	}
	return o.conclude(e, last, findings)
}

// conclude notes the result, and reports it.
func (o *drillOptions) conclude(e *env, last *lastDrill, findings []advice.Finding) error {
	if err := errors.Join(writeDurably(e.libDir, lastDrillName, last), removeDurably(e.libDir, drillName)); err != nil {
		return err
	}
	e.kernelLog(kernelInfo, "drill: "+last.text())
	if o.json {
		if err := e.printJSON(drillReport{last, findings}); err != nil {
			return err
		}
	} else {
		printFindings(e.stdout, findings)
		if last.Away != nil {
			fmt.Fprintf(e.stdout, "away:    %s\n", last.Away)
		}
		fmt.Fprintf(e.stdout, "drill:   %s\n", last.text())
	}
	if !last.Passed {
		return &exitError{code: exitFailure, err: &advice.Problem{What: "the drill has failed: " + last.Reason, Hint: "gokexec check looks for the cause; the console of the capture kernel shows what it did"}}
	}
	return nil
}

// await finds the dump, and waits for targets that are not there yet. The error says that there is none.
func (o *drillOptions) await(ctx context.Context, e *env, r *drillRecord) (*storedDump, error) {
	deadline := time.Now().Add(o.timeout)
	for {
		dumps, err := e.storedDumps(ctx, r.Targets, true)
		for i := range dumps {
			if bytes.Contains(dumps[i].log, []byte(r.Token)) {
				return &dumps[i], nil
			}
		}
		for i := range dumps { // one whose log could not be saved
			if dumps[i].crashed().After(r.Requested.Add(-drillSlack)) {
				return &dumps[i], nil
			}
		}
		if err == nil {
			return nil, errors.New("the machine has booted, and there is no dump at its targets: the crash kernel did not start, or could not save")
		}
		if !time.Now().Add(drillPoll).Before(deadline) {
			return nil, fmt.Errorf("no dump was found within %v: %s", o.timeout, oneLine(err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(drillPoll):
		}
	}
}

// verify compares the dump with what is expected of it.
func (r *drillRecord) verify(d *storedDump) []advice.Finding {
	var all []advice.Finding
	say := func(id advice.CheckID, err error, format string, args ...any) {
		f := advice.Passed(id, format, args...)
		if err != nil {
			f = advice.Finding{Check: id, Level: advice.Failure, Detail: oneLine(err.Error()), Err: err}
		}
		all = append(all, f)
	}
	say("result", outcomeError(d.result), "the capture was complete")
	if r.Logged {
		say("dmesg.txt", missingToken(d.log, r.Token), "the token is in it")
	}
	all = append(all, reportFindings(d.result)...)
	if d.vmcore == "" {
		say("vmcore", errors.New("there is no memory in the dump"), "")
		return all
	}
	dump, err := openDump([]string{d.vmcore})
	if err != nil {
		say("vmcore", err, "")
		return all
	}
	defer dump.Close()
	if missing := dump.missing(); missing != "" {
		err = errors.New(missing)
	}
	say("vmcore", err, "%s can be read", d.vmcore)
	if r.Logged {
		var text bytes.Buffer
		log, err := printk.Read(dump)
		if err == nil {
			_, err = printk.WriteText(&text, log)
		}
		if err == nil {
			err = missingToken(text.Bytes(), r.Token)
		}
		say("log in the memory", err, "the token is in it")
	}
	if len(r.Pages) > 0 {
		say("token in the memory", r.checkPages(dump), "%d pages have it, at their physical addresses", len(r.Pages))
	}
	if len(r.Memory) > 0 {
		say("memory", r.checkMemory(dump), "the dump knows of all memory that the machine had")
	}
	return all
}

func outcomeError(r *capture.Result) error {
	switch {
	case r == nil:
		return errors.New("the dump has no result.json that can be read: the capture did not finish")
	case r.Outcome != capture.Complete:
		return fmt.Errorf("the capture was %s: %s", r.Outcome, strings.Join(r.Errors, "; "))
	}
	return nil
}

// reportFindings says what the report says. A dump without one is a good dump.
func reportFindings(r *capture.Result) []advice.Finding {
	switch {
	case r == nil || r.Report == nil:
		return nil
	case r.Report.Error != "":
		return []advice.Finding{{Check: "report", Level: advice.Warning, Detail: oneLine(r.Report.Error), Remedy: "gokexec report makes it of the dump; ReportTimeout= of gokexec.conf(5) gives it more time"}}
	}
	return []advice.Finding{advice.Passed("report", "%s, fingerprint %s", r.Report.Title, r.Report.Fingerprint)}
}

func missingToken(log []byte, token string) error {
	if !bytes.Contains(log, []byte(token)) {
		return errors.New("the token of the drill is not in it")
	}
	return nil
}

// checkPages reads the pages that hold the token.
func (r *drillRecord) checkPages(dump kdumpfile.Dump) error {
	if r.PageSize <= 0 || r.PageSize > 1<<20 {
		return fmt.Errorf("pages of %d bytes", r.PageSize)
	}
	want, got := tokenPage(r.Token+"\n", r.PageSize), make([]byte, r.PageSize)
	for _, addr := range r.Pages {
		if _, err := dump.ReadPhysAt(got, addr); err != nil {
			return fmt.Errorf("page %v: %w", addr, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("page %v does not hold the token", addr)
		}
	}
	return nil
}

// checkMemory compares what the dump knows of with what the machine had.
func (r *drillRecord) checkMemory(dump kdumpfile.Dump) error {
	var had, has []memmap.Range
	for _, m := range r.Memory {
		had = append(had, memmap.Range{Start: m.Start, End: m.End})
	}
	for addr := memmap.PhysAddr(0); ; {
		m, err := dump.NextMemory(addr)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		has, addr = append(has, m), m.End
	}
	for _, m := range memmap.NewSet(had...).Minus(memmap.NewSet(has...)).Ranges() {
		if m.Size() >= memmap.PageSize { // dumps have whole pages
			return fmt.Errorf("it lacks %v, %d KiB", m, m.Size()>>10)
		}
	}
	return nil
}

// drillTimesOf reads the clocks: the crashed kernel's, the capture kernel's and this one's.
func drillTimesOf(root fs.FS, r *capture.Result, now time.Time) *drillTimes {
	if r == nil || r.CrashTime == nil {
		return nil
	}
	t := &drillTimes{Total: between(*r.CrashTime, now, maxAway), Capture: &r.Durations.TotalSeconds}
	saved := r.CaptureTime.Add(time.Duration(r.Durations.TotalSeconds * float64(time.Second)))
	t.ToCapture = between(*r.CrashTime, r.CaptureTime, maxStage)
	if booted, err := bootTime(root); err == nil {
		t.ToBoot, t.ToService = between(saved, booted, maxStage), between(booted, now, maxStage)
	}
	return t
}

// between is the time from a to b in seconds, or nil if that is nothing to believe.
func between(a, b time.Time, most time.Duration) *float64 {
	d := b.Sub(a)
	if d < -2*time.Second || d > most { // the clocks count whole seconds
		return nil
	}
	s := max(d, 0).Seconds()
	return &s
}

// bootTime is when this kernel started (proc_stat(5), btime).
func bootTime(root fs.FS) (time.Time, error) {
	b, err := sysfs.ReadFile(root, "proc/stat", 16<<20)
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Unix(n, 0), err
		}
	}
	return time.Time{}, errors.New("/proc/stat: no btime")
}

// String lists the stages that are known.
func (t *drillTimes) String() string {
	var parts []string
	for _, s := range []struct {
		name  string
		value *float64
	}{{"crash to capture", t.ToCapture}, {"capture", t.Capture}, {"capture to boot", t.ToBoot}, {"boot to verification", t.ToService}, {"in all", t.Total}} {
		if s.value != nil {
			parts = append(parts, fmt.Sprintf("%s %.0f s", s.name, *s.value))
		}
	}
	if len(parts) == 0 {
		return "not known: the clocks differ"
	}
	return strings.Join(parts, ", ")
}
