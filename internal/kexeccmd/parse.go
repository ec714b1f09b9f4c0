package kexeccmd

import (
	"math"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/getopt"
	"github.com/gokexec/gokexec/pkg/plan"
)

// maxAddr is the default of --mem-max: no bound.
const maxAddr = math.MaxUint64

// Parse reads argv, whose first word is the program's name, as kexec(8) does on arch
// (uname -m). posix is POSIXLY_CORRECT. A wrong command line is no error: it is an
// Invocation with a Stop.
func Parse(arch string, argv []string, posix bool) (*Invocation, error) {
	options, err := Options(arch)
	if err != nil {
		return nil, err
	}
	inv := &Invocation{Arch: arch, Name: "kexec", MemMax: maxAddr, Given: map[string]bool{}}
	if len(argv) > 0 {
		inv.Name = argv[0]
	}
	p := parser{inv: inv, load: true, shutdown: true, sync: true}
	items, operands := set(options, posix).Parse(argv)
	for _, item := range items {
		for _, o := range options {
			if o.id == item.Val {
				inv.Given[o.Name] = true
			}
		}
		inv.loaderOption = inv.loaderOption || isLoaderOption(options, item.Val)
		if inv.Stop = p.option(item); inv.Stop != nil {
			return inv, nil
		}
	}
	inv.Kernels = operands
	p.finish()
	return inv, nil
}

// parser holds what later options may undo.
type parser struct {
	inv                                *Invocation
	load, shutdown, sync, ifdown, exec bool
	unload, onlyLoad                   bool
	other                              bool // the boot kernel is meant by something else than -l
	noSync, noIfDown, status           bool

	unloadBeforePanic bool
	serialPort        uint64
	baud              uint32
	consoleSerial     bool
}

// option applies one option, in order: many undo earlier ones.
func (p *parser) option(item getopt.Item) *Stop {
	inv := p.inv
	switch item.Val {
	case getopt.Unknown:
		s := &Stop{Usage: true, Code: ExitUsage}
		if item.Err != "" {
			s.Message = []string{item.Err}
		}
		return s
	case 'h':
		return &Stop{Usage: true, Code: ExitOK}
	case 'v':
		return &Stop{Version: true, Code: ExitOK}
	case optCrashSize:
		return &Stop{CrashSize: true, Code: ExitOK}
	case optExecLiveUpdate:
		return &Stop{Message: []string{"--exec-live-update only works under xen."}, Code: ExitUsage}
	case 'd':
		inv.Debug = true
	case 'x':
		p.noIfDown = true
	case 'y':
		p.noSync = true
	case 'f':
		p.load, p.shutdown, p.sync, p.ifdown, p.exec = true, false, true, true, true
	case 'l':
		p.load, p.shutdown, p.exec, p.onlyLoad = true, false, false, true
	case 'u':
		p.load, p.shutdown, p.sync, p.unload = false, false, false, true
	case 'e':
		p.load, p.shutdown, p.sync, p.ifdown, p.exec = false, false, true, true, true
	case 'p':
		p.unloadBeforePanic = p.unload
		p.load, p.shutdown, p.sync, p.exec = true, false, false, false
		inv.Crash, inv.FileCrash, inv.Jump, inv.LiveUpdate, p.other = true, true, false, false, false
	case optJumpBackHelper:
		p.load, p.shutdown, p.sync, p.ifdown, p.exec = false, false, true, true, false
		inv.JumpBack, inv.Crash, inv.Jump, inv.LiveUpdate, p.other = true, false, true, false, true
	case optPreserveContext, optLoadLiveUpdate:
		p.load, p.shutdown, p.sync, p.exec = true, false, true, false
		inv.Crash, p.other = false, true
		inv.Jump, inv.LiveUpdate = item.Val == optPreserveContext, item.Val == optLoadLiveUpdate
	case 's':
		inv.Method = plan.File
	case 'c':
		inv.Method = plan.Segments
	case 'a':
		inv.Method = plan.Auto
	case 'S':
		p.status = true
	default:
		return p.loadOption(item)
	}
	return nil
}

// loadOption applies an option that only says how to load.
func (p *parser) loadOption(item getopt.Item) *Stop {
	inv := p.inv
	switch item.Val {
	case optEntry:
		return address("entry", item.Arg, &inv.Entry)
	case optMemMin:
		return address("mem-min", item.Arg, &inv.MemMin)
	case optMemMax:
		return address("mem-max", item.Arg, &inv.MemMax)
	case 't':
		inv.Type = item.Arg
	case 'i':
		inv.NoChecks = true
	case optReuseInitrd:
		inv.ReuseInitrd = true
	case optHotplug:
		inv.Hotplug = true
	case optNoCMA:
		inv.NoCMA = true
	case optForceDTB:
		inv.ForceDTB = true
	case optAppend:
		if archOf(inv.Arch).appends && inv.Append != nil {
			item.Arg = *inv.Append + " " + item.Arg
		}
		inv.Append = &item.Arg
	case optBase:
		inv.Base = &item.Arg
	case optReuseCmdline:
		inv.Reuse = true
	case optInitrd:
		inv.Initrd = &item.Arg
	case optDTB:
		inv.DTB = &item.Arg
	case optNoEFI:
		inv.NoEFI = true
	case optPassMemmap:
		inv.PassMemmap = true
	case optConsoleSerial:
		p.consoleSerial = true
	case optSerial:
		p.serial(item.Arg)
	case optSerialBaud:
		p.serialBaud(item.Arg)
	}
	return nil
}

func (p *parser) serial(text string) {
	if archOf(p.inv.Arch).terminal {
		p.inv.Terminal = text
		return
	}
	if hex, ok := strings.CutPrefix(text, "0x"); ok {
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			p.serialPort = port
			return
		}
	} else if text == "ttyS0" || text == "ttyS1" {
		p.serialPort = map[string]uint64{"ttyS0": 0x3f8, "ttyS1": 0x2f8}[text]
		return
	}
	if p.inv.badSerial == "" {
		p.inv.badSerial = "Bad serial port base '" + text + "'"
	}
}

func (p *parser) serialBaud(text string) {
	n, ok := strtoul(text)
	if ok && n >= 9600 && n <= 115200 && 115200%n == 0 {
		p.baud = uint32(n)
	} else if p.inv.badSerial == "" {
		p.inv.badSerial = "Bad serial port baud rate '" + text + "'"
	}
}

// finish determines what the options mean together.
func (p *parser) finish() {
	inv := p.inv
	if p.consoleSerial {
		port := p.serialPort
		if port == 0 {
			port = 0x3f8
		}
		inv.Serial = plan.Serial{Port: uint16(port), Baud: p.baud}
	}
	if p.status {
		inv.Status = true
		inv.Crash = inv.Crash || !p.onlyLoad && !p.other
		inv.ReuseInitrd, inv.JumpBack = false, false
		return
	}
	inv.Unload, inv.Load, inv.Shutdown, inv.Exec = p.unload, p.load, p.shutdown, p.exec
	inv.Sync = p.sync && !p.noSync
	inv.IfDown = p.ifdown && p.exec && !p.noIfDown
	if p.unloadBeforePanic && p.load && len(inv.Kernels) == 0 {
		inv.Warn = append(inv.Warn, "-u before -p unloads, and then loads; -p -u only unloads")
	}
}

// address reads a number as strtoul(3) with base 0 does.
func address(name, text string, into *uint64) *Stop {
	n, ok := strtoul(text)
	if !ok {
		return &Stop{Message: []string{"Bad option value in --" + name + "=" + text}, Usage: true, Code: ExitUsage}
	}
	*into = n
	return nil
}

// strtoul is strtoul(3) with base 0, for all of s: white space and a sign before,
// 0 for an empty text, the largest number for one that is too large.
func strtoul(s string) (uint64, bool) {
	if s == "" {
		return 0, true
	}
	digits := strings.TrimLeft(s, " \t\n\v\f\r")
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	base := 10
	if lower := strings.ToLower(digits); strings.HasPrefix(lower, "0x") {
		digits, base = digits[2:], 16
	} else if strings.HasPrefix(digits, "0") {
		base = 8
	}
	if digits == "" || strings.ContainsAny(digits[:1], "+-_") {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil && n != math.MaxUint64 {
		return 0, false
	}
	if negative && err == nil {
		n = -n
	}
	return n, true
}
