package main

import (
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/accuracy"
)

// Exit codes of a monitoring plugin (Monitoring Plugins Development Guidelines, "Plugin Return Codes").
const (
	pluginOK = iota
	pluginWarning
	pluginCritical
	pluginUnknown
)

// armed reports whether a crash would be captured as it should be; nil: that is not known.
func (r *statusReport) armed() *bool {
	var armed bool
	switch r.Verification.Accuracy {
	case accuracy.Accurate:
		armed = true
	case accuracy.Stale, accuracy.NotLoaded:
	default:
		return nil
	}
	return &armed
}

// printPlugin prints the one line of a monitoring plugin. What is behind the bar is performance data.
func (r *statusReport) printPlugin(w io.Writer) error {
	code, text := pluginOK, "a crash kernel is loaded, and its elfcorehdr is accurate"
	switch {
	case r.armed() == nil:
		code, text = pluginUnknown, r.Verification.String()
	case r.Verification.Accuracy == accuracy.Stale:
		code, text = pluginCritical, "the crash kernel does not match the machine: "+r.Verification.String()
	case r.unarmed():
		code, text = pluginCritical, "the crash kernel was lost, and none is loaded"
	case r.Verification.Accuracy == accuracy.NotLoaded:
		code, text = pluginCritical, "no crash kernel is loaded"
	case r.LastDrill != nil && !r.LastDrill.Passed:
		code = pluginWarning
	}
	if r.LastDrill != nil {
		text += "; last drill " + r.LastDrill.text()
	}
	word := [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[code]
	if _, err := fmt.Fprintf(w, "GOKEXEC %s - %s | reserved=%dB\n", word, pluginText(text), r.CrashBytes); err != nil {
		return err
	}
	if code != pluginOK {
		return &exitError{code: code}
	}
	return nil
}

// pluginText is one line without the bar that ends it.
func pluginText(s string) string {
	b := []byte(oneLine(s))
	for i, c := range b {
		if c == '|' {
			b[i] = '/'
		}
	}
	return string(b)
}
