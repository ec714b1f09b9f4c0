package kdumpconf

import (
	"cmp"
	"net"
	"path"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/capture"
)

// Reasons of directives about the network.
const (
	noFTP         = "gokexec has no FTP: it saves to NFS, SSH, S3 and HTTPS"
	ownWaits      = "not needed: NetworkTimeout= bounds each wait for a server"
	ownDirectory  = "not needed: below the target each machine has a directory of its own name"
	ownNetwork    = "not needed: the network is made as it is when the machine is armed"
	pinnedHostKey = "not needed: the server's key is taken from known_hosts when the machine is armed; KnownHosts= names another file"
	noPassword    = "gokexec has no passwords for SSH: name a private key by SSHKey="
)

// defaultSSHKey is the key that kdump-utils and kdump-tools take by default.
const defaultSSHKey = "/root/.ssh/kdump_id_rsa"

// nfs makes a target of HOST:/PATH.
func (in *importer) nfs(place string, a assigned) {
	if reason := in.targetText("nfs:"+place, a); reason != "" {
		in.unmatched(a, reason)
	}
}

// ssh makes a target of USER@HOST and a directory there. key is the file of its key, if that is named.
func (in *importer) ssh(userHost, dir string, a assigned, key string, keyLine assigned) {
	user, _, _ := strings.Cut(userHost, "@")
	reason := noPassword
	if !strings.Contains(user, ":") {
		reason = in.targetText("ssh://"+userHost+path.Join("/", dir), a)
	}
	if reason != "" {
		in.unmatched(a, reason)
		return
	}
	if key == "" {
		keyLine = a
	}
	in.set(sectionRemote, "SSHKey", cmp.Or(key, defaultSSHKey), keyLine)
	// They put it into the initramfs, on the disk. Here it is in the crash memory only.
	in.set(sectionRemote, "RemoteKeys", "memory", keyLine)
}

// fence makes settings of fence_kdump_nodes and of the options of fence_kdump_send(8) that have counterparts.
func (in *importer) fence() {
	nodes, a := in.text("fence_kdump_nodes")
	args, b := in.text("fence_kdump_args")
	port, interval := "", ""
	var rest []string
	for fields := strings.Fields(args); len(fields) > 0; {
		option, value := fields[0], ""
		if len(fields) > 1 && option != "-v" {
			value = fields[1]
		}
		switch option + " " + value {
		case "-v ", "-f auto", "-c 0": // as gokexec does
		case "-p " + value:
			port = value
		case "-i " + value:
			interval = value
		default:
			rest = append(rest, strings.TrimSpace(option+" "+value))
		}
		fields = fields[min(len(fields), 1+len(strings.Fields(value))):]
	}
	if len(rest) > 0 {
		in.unmatched(b, "of fence_kdump_send's options gokexec has no counterpart for "+strings.Join(rest, " "))
	}
	for _, node := range strings.Fields(nodes) {
		if port != "" {
			node = net.JoinHostPort(node, port)
		}
		in.set(sectionCapture, "FenceKdump", node, a)
	}
	if n, err := strconv.Atoi(interval); err == nil && nodes != "" {
		in.set(sectionCapture, "FenceKdumpInterval", strconv.Itoa(n), b)
	} else if interval != "" && err != nil {
		in.unmatched(b, "not a number of seconds: "+interval)
	}
}

// targetText makes a setting of a target, if it can be one.
func (in *importer) targetText(text string, a assigned) (reason string) {
	t, err := capture.ParseTarget(text)
	if err != nil {
		return err.Error()
	}
	text = t.String()
	if t.Type == capture.TargetDirectory { // as people write it
		text = strings.TrimPrefix(text, "dir:")
	}
	in.set(sectionCapture, "Target", text, a)
	return ""
}
