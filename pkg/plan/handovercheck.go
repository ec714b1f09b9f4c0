package plan

import (
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
)

// checkHandover refuses an ordinary kexec that would lose what is handed on: by
// kexec_load the kernel adds none of it (kernel/kexec_file.c is the only caller of
// kho_fill_kimage).
func (p *Plan) checkHandover(host *machine.Host) advice.Finding {
	const name = "handover"
	switch {
	case p.Kind != machine.Boot || host.Handover == "":
		return advice.Passed(name, "nothing is handed on")
	case p.Method == File:
		return advice.Passed(name, "%s goes with the load", host.Handover)
	}
	return advice.Finding{Check: name, Level: advice.Failure,
		Detail: fmt.Sprintf("%s is on, and kexec_load hands nothing on: what is kept for the next kernel would be lost", host.Handover),
		Remedy: "use --method file; or turn it off (kho=off on the kernel's command line)",
		Err:    errors.ErrUnsupported}
}
