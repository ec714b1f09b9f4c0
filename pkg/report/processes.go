package report

import (
	"cmp"
	"errors"
	"slices"

	"github.com/gokexec/gokexec/pkg/object"
)

// maxProcesses is how many processes a report has.
const maxProcesses = 10

// memoryUser is a process and, roughly, the pages that it holds.
type memoryUser struct {
	task, mm object.Object
	pages    int64
}

// rssCounters are the members of mm_struct.rss_stat by name (include/linux/mm_types_task.h).
const (
	rssFile = "MM_FILEPAGES"
	rssAnon = "MM_ANONPAGES"
	rssShm  = "MM_SHMEMPAGES"
	rssSwap = "MM_SWAPENTS"
)

// process looks at a process while the tasks are gone through.
func (m *maker) process(leader object.Object) {
	mm, err := leader.Follow("mm")
	if err != nil || mm.Address == 0 {
		return
	}
	u := memoryUser{task: leader, mm: mm}
	for _, name := range []string{rssFile, rssAnon, rssShm, rssSwap} {
		n, err := m.rss(mm, name, false)
		if err != nil {
			return
		}
		u.pages += n
	}
	if m.processed = append(m.processed, u); len(m.processed) >= 4*maxProcesses {
		m.sortProcesses()
	}
}

func (m *maker) sortProcesses() {
	slices.SortStableFunc(m.processed, func(a, b memoryUser) int { return cmp.Compare(b.pages, a.pages) })
	m.processed = m.processed[:min(len(m.processed), 2*maxProcesses)]
}

// processes fills in the processes that held most memory. They were found with the tasks.
func (m *maker) processes() error {
	if m.kernel == nil {
		return m.noTypes
	}
	if _, err := m.field("mm_struct", "rss_stat"); err != nil {
		return err
	}
	if m.report.TaskCount == 0 {
		return errors.New("no task could be read")
	}
	m.sortProcesses()
	var all []Process
	for _, u := range m.processed {
		t, err := m.task(u.task)
		if err != nil {
			continue
		}
		p := Process{PID: t.PID, Name: t.Name}
		for _, name := range []string{rssFile, rssAnon, rssShm, rssSwap} {
			n, err := m.rss(u.mm, name, true)
			if err != nil {
				return err
			}
			if to := &p.Resident; name != rssSwap {
				*to += uint64(max(n, 0)) * m.pageSize()
			} else {
				p.Swapped = uint64(max(n, 0)) * m.pageSize()
			}
		}
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b Process) int { return cmp.Compare(b.Resident+b.Swapped, a.Resident+a.Swapped) })
	if m.report.Memory == nil {
		m.report.Memory = new(Memory)
	}
	m.report.Memory.Processes = all[:min(len(all), maxProcesses)]
	return nil
}

// rss reads a counter of mm_struct.rss_stat, in pages: an array of percpu_counter, before Linux 6.2 a structure with an
// array of atomic numbers. exact: with what each CPU has counted.
func (m *maker) rss(mm object.Object, name string, exact bool) (int64, error) {
	i, ok := m.kernel.Types.Constant(name)
	if !ok || i < 0 || i > 64 {
		return 0, errors.New("this kernel has no " + name)
	}
	if mm.Has("rss_stat.counters") {
		return m.perCPUCounter(mm, uint64(i), exact)
	}
	n, err := element(mm, "rss_stat.count", uint64(i), "counter")
	return int64(n), err
}

// perCPUCounter reads a struct percpu_counter of rss_stat.
func (m *maker) perCPUCounter(mm object.Object, i uint64, exact bool) (int64, error) {
	sum, err := element(mm, "rss_stat", i, "count")
	if err != nil || !exact {
		return int64(sum), err
	}
	counters, err := element(mm, "rss_stat", i, "counters")
	if err != nil {
		return 0, err
	}
	for _, c := range m.possible {
		n, err := m.mem.Uint32(counters+c.offset, "percpu_counter")
		if err != nil {
			return 0, err
		}
		sum += uint64(int64(int32(n)))
	}
	return int64(sum), nil
}
