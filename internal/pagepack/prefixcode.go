package pagepack

// maxAlphabet is how many symbols a prefix code has room for: deflate has 286 literals and lengths. As a power of two it
// makes the checks of indices cheap.
const maxAlphabet = 1 << 9

// prefixCode is Huffman's code for symbols that were counted.
type prefixCode struct {
	counts  [maxAlphabet]uint32
	lengths [maxAlphabet]uint8  // of the codes, in bits; 0: the symbol isn't in use
	codes   [maxAlphabet]uint32 // the length times 65536, and the code

	used      [maxAlphabet]uint16 // the symbols in use, ascending
	n         int                 // of used
	perLength [33]int             // symbols
	sorted    [maxAlphabet]uint32 // symbols in use by count: the count times 512, and the symbol
	swap      [maxAlphabet]uint32
	nodes     [maxAlphabet]uint32 // of the tree
}

// list finds which of the first so many symbols are in use, and returns how often the most frequent is.
func (p *prefixCode) list(symbols int) (most uint32) {
	n := 0
	for s, c := range p.counts[:symbols] {
		if c > 0 {
			p.swap[n%maxAlphabet] = c<<9 | uint32(s)
			p.used[n%maxAlphabet] = uint16(s)
			most = max(most, c)
			n++
		}
	}
	p.n = n
	return most
}

// sort lists the symbols in use by how often they are.
func (p *prefixCode) sort() {
	n := p.n
	from, to := &p.swap, &p.sorted
	for shift := 9; ; shift += 6 {
		var at [64]uint16
		more := uint32(0)
		for _, v := range from[:n] {
			at[v>>shift&63]++
			more |= v >> shift >> 6
		}
		sum := uint16(0)
		for i, c := range at {
			at[i] = sum
			sum += c
		}
		for _, v := range from[:n] {
			i := &at[v>>shift&63]
			to[*i] = v
			*i++
		}
		from, to = to, from
		if more == 0 {
			break
		}
	}
	if from != &p.sorted {
		copy(p.sorted[:n], from[:n])
	}
}

// build finds the lengths of the codes, at least two of at most so many bits, and returns the longest.
func (p *prefixCode) build(most int) int {
	p.sort()
	// Moffat and Katajainen: the lengths of the codes, in place. First the weights of the inner nodes,
	// then their parents, their depths, and the depths of the leaves.
	n := p.n
	a := &p.nodes
	for i, v := range p.sorted[:n] {
		a[i] = v >> 9
	}
	a[0] += a[1]
	root, leaf := 0, 2
	for next := 1; next < n-1; next++ {
		if leaf >= n || a[root] < a[leaf] {
			a[next] = a[root]
			a[root] = uint32(next)
			root++
		} else {
			a[next] = a[leaf]
			leaf++
		}
		if leaf >= n || root < next && a[root] < a[leaf] {
			a[next] += a[root]
			a[root] = uint32(next)
			root++
		} else {
			a[next] += a[leaf]
			leaf++
		}
	}
	a[n-2] = 0
	for next := n - 3; next >= 0; next-- {
		a[next] = a[a[next]] + 1
	}
	perLength := &p.perLength
	clear(perLength[:])
	avail, used, depth := 1, 0, 0
	for root := n - 2; avail > 0; depth++ {
		for root >= 0 && int(a[root]) == depth {
			used++
			root--
		}
		perLength[min(depth, 32)] += avail - used
		avail, used = 2*used, 0
	}
	limit(perLength, most)
	for ; perLength[most] == 0; most-- {
	}
	// The rarest symbols have the longest codes.
	clear(p.lengths[:p.used[n-1]+1])
	i := 0
	for l := most; l > 0; l-- {
		for _, v := range p.sorted[i : i+perLength[l]] {
			p.lengths[v&511] = uint8(l)
		}
		i += perLength[l]
	}
	return most
}

// limit makes no code longer than most, so that all of them still are a tree.
func limit(perLength *[33]int, most int) {
	for l := most + 1; l <= 32; l++ {
		perLength[most] += perLength[l]
		perLength[l] = 0
	}
	total := 0
	for l := 1; l <= most; l++ {
		total += perLength[l] << (most - l)
	}
	for ; total > 1<<most; total-- {
		perLength[most]--
		for l := most - 1; ; l-- {
			if perLength[l] > 0 {
				perLength[l]--
				perLength[l+1] += 2
				break
			}
		}
	}
}
