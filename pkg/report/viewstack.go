package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// line is a line of a stack in a form for people.
type line struct {
	text string
	note bool // not a frame, but a remark on the walk
}

// lines are a stack's frames with what happened between them. Frames that repeat are counted.
func (s *Stack) lines() []line {
	if s == nil {
		return nil
	}
	var all []line
	repeated := 0
	flush := func() {
		if repeated > 0 {
			all = append(all, line{fmt.Sprintf("the same %d more times", repeated), true})
		}
		repeated = 0
	}
	for i := range s.Frames {
		f := &s.Frames[i]
		if i > 0 && !f.Interrupted && f.Address == s.Frames[i-1].Address {
			repeated++
			continue
		}
		flush()
		if f.Interrupted && i > 0 {
			all = append(all, line{"interrupted:", true})
		}
		all = append(all, line{f.text(), false})
	}
	flush()
	switch s.End {
	case "":
	case "user mode", "end of stack":
		all = append(all, line{s.End, true})
	default:
		all = append(all, line{"the walk ends here: " + clean(s.End), true})
	}
	return all
}

// sameStack reports whether two stacks are of the same calls.
func sameStack(a, b *Stack) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.End == b.End && slices.Equal(a.Frames, b.Frames)
}

// blockedTitle says how many tasks were blocked: "Blocked tasks: 90 of 412 tasks, 64 are listed".
func (r *Report) blockedTitle() string {
	n := max(r.BlockedCount, len(r.Blocked))
	s := joined(" of ", "Blocked tasks: "+strconv.Itoa(n), count(r.TaskCount, "task"))
	if n > len(r.Blocked) {
		s += fmt.Sprintf(", %d are listed", len(r.Blocked))
	}
	return s
}

// group is blocked tasks with one stack.
type group struct {
	tasks []*Task
	stack *Stack
}

// maxGroups bounds how many stacks new ones are compared with, so that a dump with many tasks takes no quadratic time.
const maxGroups = 64

// groups are the blocked tasks by their stacks, in the order in which the stacks appear.
func (r *Report) groups() []group {
	var all []group
	for i := range r.Blocked {
		t := &r.Blocked[i]
		found := false
		for g := range all[:min(len(all), maxGroups)] {
			if t.Stack != nil && sameStack(all[g].stack, t.Stack) {
				all[g].tasks, found = append(all[g].tasks, t), true
				break
			}
		}
		if !found {
			all = append(all, group{[]*Task{t}, t.Stack})
		}
	}
	return all
}

// cpus parts the other CPUs in those that did something, and the numbers of those that were idle.
func (r *Report) cpus() (busy []*CPU, idle string) {
	var numbers []int
	for i := range r.Others {
		if c := &r.Others[i]; c.Idle {
			numbers = append(numbers, c.Number)
		} else {
			busy = append(busy, c)
		}
	}
	return busy, rangesText(numbers)
}

// rangesText writes ascending numbers as the kernel writes lists of CPUs: "0-2, 5".
func rangesText(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i + 1
		for j < len(numbers) && numbers[j] == numbers[j-1]+1 {
			j++
		}
		if j-i > 1 {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[j-1]))
		} else {
			parts = append(parts, strconv.Itoa(numbers[i]))
		}
		i = j
	}
	return strings.Join(parts, ", ")
}
