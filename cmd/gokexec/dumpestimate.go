package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/excerpt"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/record"
)

// estimateReport is what gokexec dump --estimate tells.
type estimateReport struct {
	Source   string            `json:"source"`
	Compress string            `json:"compress"`
	PageSize uint64            `json:"page_size"`
	Pages    uint64            `json:"pages"`
	Classes  []classEstimate   `json:"classes"`
	Levels   []int64           `json:"bytes_at_level"` // by dump level, 0 to 31
	ELF      []int64           `json:"elf_bytes_at_level"`
	Refused  map[string]string `json:"not_told,omitempty"` // classes that are kept at any level: why
	Targets  []targetRoom      `json:"targets,omitempty"`
}

type classEstimate struct {
	class pagefilter.Class
	Class string  `json:"class"`
	Pages uint64  `json:"pages"`
	Zero  float64 `json:"zero_share"`          // of the pages, those of zeroes
	Bytes float64 `json:"bytes_per_page_kept"` // on average
}

// targetRoom is how much a target has free.
type targetRoom struct {
	Target string `json:"target"`
	Free   int64  `json:"free_bytes"`
	Error  string `json:"error,omitempty"` // why that is not known
}

// shownLevels are the dump levels of the table: all memory; without pages of zeroes; without free memory;
// with user memory but no cache; with cache but no user memory; the kernel's own.
var shownLevels = []pagefilter.Level{0, 1, 17, 23, 25, 31}

func (e *env) estimate(ctx context.Context, o *dumpOptions, form excerpt.Form, sources []string) error {
	if len(sources) == 0 {
		sources = []string{kcoreName}
	}
	src, err := e.openSource(sources)
	if err != nil {
		return dumpProblem(sources[0], src, err)
	}
	defer src.Close()
	x := src.excerpt(o.jobs)
	progress := newDumpProgress(e)
	_, err = x.Survey(ctx, func(done, total uint64) { progress.show("looking at the pages", done, total) })
	progress.end()
	if err != nil {
		return err
	}
	est, err := x.Estimate(ctx, form.Codec)
	if err != nil {
		return fmt.Errorf("%s: %w", sources[0], err)
	}
	r := newEstimateReport(sources[0], form.Codec, est)
	if r.Targets, err = e.rooms(ctx, o); err != nil {
		return err
	}
	if o.asJSON {
		return e.printJSON(r)
	}
	return r.print(e.stdout)
}

func newEstimateReport(source string, codec kdumpfile.Codec, est *excerpt.Estimate) *estimateReport {
	r := &estimateReport{Source: source, Compress: codec.String(), PageSize: est.Survey.PageSize, Pages: est.Survey.Pages, Refused: map[string]string{}}
	for c, n := range est.Survey.Counts {
		if n > 0 {
			r.Classes = append(r.Classes, classEstimate{pagefilter.Class(c), pagefilter.Class(c).String(), n, est.Zero[c], est.PerPage[c]})
		}
	}
	for level := range pagefilter.MaxLevel + 1 {
		r.Levels = append(r.Levels, est.Bytes(level))
		r.ELF = append(r.ELF, est.ELFBytes(level))
	}
	for _, f := range est.Survey.Refused {
		r.Refused[f.Class.String()] = f.Reason
	}
	return r
}

func (r *estimateReport) print(out io.Writer) error {
	fmt.Fprintf(out, "%s: %s of memory\n\n", r.Source, pagesText(r.Pages, r.PageSize))
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "pages\tmemory\tzero\tcompressed to\tleft out by")
	for _, c := range r.Classes {
		fmt.Fprintf(w, "%s\t%s\t%.0f %%\t%.0f %%\t%s\n", c.Class, pagesText(c.Pages, r.PageSize), 100*c.Zero, 100*c.Bytes/float64(r.PageSize), r.leftOutBy(c.class))
	}
	fmt.Fprintf(w, "\ndump level\t%s\tELF\n", r.Compress)
	for _, level := range shownLevels {
		fmt.Fprintf(w, "%d\t%s\t%s\n", level, sizeText(float64(r.Levels[level])), sizeText(float64(r.ELF[level])))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.Targets) > 0 {
		fmt.Fprintln(out)
	}
	for _, t := range r.Targets {
		if t.Error != "" {
			fmt.Fprintf(out, "%s: its room is not known: %s\n", t.Target, oneLine(t.Error))
			continue
		}
		fmt.Fprintf(out, "%s: %s free\n", t.Target, sizeText(float64(t.Free)))
	}
	return nil
}

// leftOutBy are the bits of a dump level that leave a class out.
func (r *estimateReport) leftOutBy(class pagefilter.Class) string {
	if _, refused := r.Refused[class.String()]; refused {
		return "none: can't be told"
	}
	var bits []string
	all := pagefilter.Level(0)
	for bit := pagefilter.Level(1); bit <= pagefilter.MaxLevel; bit <<= 1 {
		if bit.Excludes(class) {
			bits, all = append(bits, strconv.Itoa(int(bit))), all|bit
		}
	}
	switch all {
	case 0:
		return "none"
	case pagefilter.MaxLevel:
		return "any"
	}
	return strings.Join(bits, ", ")
}

// rooms are those of the file to be written, of the targets that are named, or of those of the loaded crash
// kernel.
func (e *env) rooms(ctx context.Context, o *dumpOptions) ([]targetRoom, error) {
	var rooms []targetRoom
	if o.output != "" && o.output != "-" {
		dir := filepath.Dir(o.output)
		space, err := capture.NewSystem().Space(dir)
		rooms = append(rooms, newTargetRoom(dir, space.Available, err))
	}
	var targets []capture.Target
	for _, text := range o.targets {
		t, err := capture.ParseTarget(text)
		if err != nil {
			return nil, usageError("--target: %w", err)
		}
		targets = append(targets, t)
	}
	if len(rooms)+len(targets) == 0 {
		targets = e.loadedConfig().Targets
	}
	machine := e.storage()
	for _, t := range targets {
		space, _, err := machine.RoomOf(ctx, t)
		rooms = append(rooms, newTargetRoom(t.String(), space.Available, err))
	}
	return rooms, nil
}

func newTargetRoom(name string, free int64, err error) targetRoom {
	t := targetRoom{Target: name, Free: free}
	if err != nil {
		t.Error = err.Error()
	}
	return t
}

// loadedConfig is the configuration of the capture that was loaded last, the zero one if that is not known. Its targets
// are as the capture kernel finds them, or, of an armed one, as they are configured.
func (e *env) loadedConfig() capture.Config {
	state, err := record.Read(e.stateDir)
	if err != nil || state.Asked == nil || state.Asked.Initrd == nil {
		return capture.Config{}
	}
	var cfg capture.Config
	if made := recipeOf(state); made != nil {
		cfg, err = made.capture()
	} else {
		cfg, err = initrdConfig(state.Asked.Initrd.Path)
	}
	if err != nil {
		return capture.Config{}
	}
	return cfg
}
