package unwind

// maxScan bounds how many words of a stack are searched for where a function returns to.
const maxScan = 512

// maxPushed bounds how many words before a return address may be registers that the function has pushed.
const maxPushed = 16

// fromUnmarked walks from registers that were noted in a function without unwind data: __crash_kexec, which every panic goes
// through, is marked so (STACK_FRAME_NON_STANDARD). Its return address is the first word on the stack that follows a
// call of it. What BP was in the caller is either there still or was pushed before that.
func (o *orc) fromUnmarked(from Registers) (Stack, bool) {
	if o.FunctionStart == nil {
		return Stack{}, false
	}
	start, ok := o.FunctionStart(from.PC)
	if !ok {
		return Stack{}, false
	}
	var words [maxScan]uint64
	var back uint64
	n := 0
	for ; n < maxScan; n++ {
		v, err := o.word(from.SP + 8*uint64(n))
		if err != nil {
			return Stack{}, false
		}
		if o.isCode(v) && o.calls(v, start) {
			back = v
			break
		}
		words[n] = v
	}
	if n == maxScan {
		return Stack{}, false
	}
	caller := Registers{PC: back, SP: from.SP + 8*uint64(n) + 8, FP: from.FP, Call: true}
	first := Frame{Address: from.PC}
	var best Stack
	for _, bp := range append([]uint64{from.FP}, words[max(0, n-maxPushed):n]...) {
		caller.FP = bp
		w := o.begin(caller)
		w.run()
		s := Stack{append([]Frame{first}, w.stack.Frames...), w.stack.End}
		if s.whole() {
			return s, true
		}
		if len(s.Frames) > len(best.Frames) {
			best = s
		}
	}
	return best, true
}

// calls reports whether the instruction before back is a call of the function at start: e8, and the distance.
func (o *orc) calls(back, start uint64) bool {
	var b [5]byte
	if o.Memory.Bytes(b[:], back-5, "text") != nil || b[0] != 0xe8 {
		return false
	}
	return back+uint64(int64(int32(o.Memory.Order.Uint32(b[1:])))) == start
}
