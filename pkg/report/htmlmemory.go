package report

import "strconv"

// memory draws the parts of the memory in one bar, and lists them with the largest slabs and processes.
func (h *htmlWriter) memory(m *Memory) {
	if m == nil {
		return
	}
	h.section("Memory: " + sizeText(m.Total))
	for _, hint := range m.Hints {
		h.element("p class=\"hint\"", hint)
		h.raw("\n")
	}
	shares := m.shares()
	h.raw("<div class=\"memory\" role=\"img\" aria-label=\"")
	for i, s := range shares {
		if i > 0 {
			h.raw(", ")
		}
		h.text(s.name + " " + percentText(percent(s.bytes, m.Total)))
	}
	h.raw("\">")
	for _, s := range shares {
		if s.bytes > 0 {
			h.raw("<i class=\"", s.class, "\" style=\"width:", percentText(percent(s.bytes, m.Total)), "\"></i>")
		}
	}
	h.raw("</div>\n<table class=\"parts\">\n")
	for _, s := range shares {
		h.raw("<tr><td><i class=\"key ", s.class, "\"></i>")
		h.text(s.name)
		h.raw("</td>")
		h.element("td class=\"number\"", sizeText(s.bytes))
		h.element("td class=\"number\"", strconv.FormatFloat(percent(s.bytes, m.Total), 'f', 1, 64)+" %")
		h.element("td class=\"note\"", s.note)
		h.raw("</tr>\n")
	}
	h.raw("</table>\n")
	if swap := m.swapText(); swap != "" {
		h.element("p class=\"note\"", swap)
		h.raw("\n")
	}
	h.slabs(m)
	h.processes(m)
	h.end()
}

func (h *htmlWriter) slabs(m *Memory) {
	if len(m.Slabs) == 0 {
		return
	}
	h.element("h3", "Largest slabs")
	h.raw("\n<table>\n")
	h.row("th", "cache", "size", "object")
	for _, s := range m.Slabs {
		h.barRow(s.Name, percent(s.Size, m.Slabs[0].Size), sizeText(s.Size), strconv.FormatUint(s.ObjectSize, 10)+" bytes")
	}
	h.raw("</table>\n")
}

func (h *htmlWriter) processes(m *Memory) {
	if len(m.Processes) == 0 {
		return
	}
	most := uint64(0)
	for _, p := range m.Processes {
		most = max(most, p.Resident)
	}
	h.element("h3", "Largest processes")
	h.raw("\n<table>\n")
	h.row("th", "process", "resident", "swapped", "pid")
	for _, p := range m.Processes {
		h.barRow(p.Name, percent(p.Resident, most), sizeText(p.Resident), sizeText(p.Swapped), strconv.Itoa(p.PID))
	}
	h.raw("</table>\n")
}

// barRow writes a row whose first cell has a bar of so many percent below its text.
func (h *htmlWriter) barRow(name string, percent float64, cells ...string) {
	h.raw("<tr><td class=\"bar\">")
	h.text(name)
	h.raw("<i style=\"width:", percentText(percent), "\"></i></td>")
	for _, c := range cells {
		h.element("td class=\"number\"", c)
	}
	h.raw("</tr>\n")
}
