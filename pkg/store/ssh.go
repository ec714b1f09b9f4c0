package store

import (
	"context"
	"errors"

	"github.com/gokexec/gokexec/pkg/remote"
)

func openSSH(ctx context.Context, s remote.Settings, l remote.Location, opt Options) (Store, error) {
	return nil, errors.New("not yet")
}
