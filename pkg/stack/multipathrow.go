package stack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// multipathRow is the table of a multipath target (dm-mpath.c, multipath_status, which describes it).
type multipathRow struct {
	mode    string   // queue_mode, if it has one
	handler []string // of the hardware, with its arguments
	first   int      // the group to begin with, from 1 on
	groups  []pathGroup
}

type pathGroup struct {
	selector []string // with its arguments
	perPath  int      // arguments of each path
	paths    [][]string
}

// readMultipath drops the features: queue_if_no_path would keep a writer waiting for a path that never comes. How
// requests are queued must remain, since not all devices take requests. The handler of the hardware is dropped, too:
// without its module the table would not load at all; with it, the kernel has attached it to the disks by itself.
func readMultipath(r *rowReader) {
	m := parseMultipath(r)
	m.handler, m.first = nil, 1 // the group in use changes with the paths
	if r.why == "" {
		r.emit(m.words()...)
	}
}

func parseMultipath(r *rowReader) *multipathRow {
	m := &multipathRow{}
	for n := r.count(1); n > 0 && r.why == ""; n-- {
		if r.drop() == "queue_mode" && n > 1 {
			m.mode = r.drop()
			n--
		}
	}
	words := func(n int) (list []string) {
		for ; n > 0 && r.why == ""; n-- {
			list = append(list, r.drop())
		}
		return list
	}
	m.handler = words(r.count(1))
	groups := r.count(4)
	first := r.drop()
	if m.first, _ = strconv.Atoi(first); !digits(first) || m.first > groups {
		r.fail("word %d is no group to begin with", r.at)
	}
	for ; groups > 0 && r.why == ""; groups-- {
		g := pathGroup{selector: words(1)}
		g.selector = append(g.selector, words(r.count(1))...)
		paths := r.count(1)
		g.perPath = r.count(1)
		for ; paths > 0 && r.why == ""; paths-- {
			path := r.next()
			if !deviceWord(path) {
				r.fail("word %d is no device number", r.at)
			}
			g.paths = append(g.paths, append([]string{path}, words(g.perPath)...))
		}
		if len(g.paths) > 0 {
			m.groups = append(m.groups, g)
		} else if m.first > len(m.groups)+1 {
			m.first--
		}
	}
	if len(m.groups) == 0 {
		r.refuse("it has no paths", elsewhere)
	}
	m.first = min(max(m.first, 1), max(len(m.groups), 1))
	return m
}

func (m *multipathRow) words() []string {
	list := []string{"0"}
	if m.mode != "" {
		list = []string{"2", "queue_mode", m.mode}
	}
	list = append(list, strconv.Itoa(len(m.handler)))
	list = append(list, m.handler...)
	list = append(list, strconv.Itoa(len(m.groups)), strconv.Itoa(m.first))
	for _, g := range m.groups {
		list = append(list, g.selector[0], strconv.Itoa(len(g.selector)-1))
		list = append(list, g.selector[1:]...)
		list = append(list, strconv.Itoa(len(g.paths)), strconv.Itoa(g.perPath))
		for _, path := range g.paths {
			list = append(list, path...)
		}
	}
	return list
}

// withoutPaths is a row of type multipath without the paths whose devices are gone, and without the groups that have none
// then. The error wraps errMissing if no path remains.
func withoutPaths(row Row, gone func(device string) bool) (Row, error) {
	r := newRowReader(row.Args)
	m := parseMultipath(r)
	if row.Type != "multipath" || r.why != "" || len(r.in) > 0 {
		return Row{}, errors.New("paths of a row that is no multipath")
	}
	groups := m.groups[:0:0]
	for _, g := range m.groups {
		paths := g.paths[:0:0]
		for _, path := range g.paths {
			if !gone(path[0]) {
				paths = append(paths, path)
			}
		}
		if len(paths) == 0 {
			continue
		}
		g.paths = paths
		groups = append(groups, g)
	}
	if len(groups) == 0 {
		return Row{}, fmt.Errorf("%w: no path of the multipath device is there", errMissing)
	}
	m.groups, m.handler, m.first = groups, nil, 1
	row.Args = strings.Join(m.words(), " ")
	return row, nil
}
