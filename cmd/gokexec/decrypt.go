package main

import (
	"context"
	"io"
	"os"

	"github.com/gokexec/gokexec/pkg/advice"
)

// decrypt writes an encrypted file as it was before.
func (e *env) decrypt(ctx context.Context, o *dumpOptions, sources []string) error {
	switch {
	case !o.decrypt:
		return usageError("--identity goes with --decrypt")
	case len(o.keys) == 0:
		return usageError("--decrypt needs a private key: -i FILE")
	case len(sources) != 1:
		return usageError("--decrypt reads one SOURCE")
	case o.output == "":
		return usageError("no -o FILE: name the file to write, - for the standard output")
	}
	in := e.stdin
	if sources[0] != "-" {
		f, err := os.Open(sources[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	_, err := writeOutput(e, o.output, privateFile, func(w io.Writer) (struct{}, error) {
		return struct{}{}, e.runRemote(ctx, nil, in, w, append([]string{"decrypt"}, o.keys...)...)
	})
	if err != nil {
		return &advice.Problem{What: sources[0] + ": " + err.Error(), Hint: advice.Hint(err), Err: err}
	}
	return nil
}
