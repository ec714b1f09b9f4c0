package kdumpconf

import (
	"cmp"
	"net"
	"path"
	"strconv"
	"strings"
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

// ssh makes a target of USER@HOST and a directory there. key is the file of its key, if that is named.
func (in *importer) ssh(userHost, dir string, a assigned, key string, keyLine assigned) {
	user, _, _ := strings.Cut(userHost, "@")
	if strings.Contains(user, ":") {
		in.unmatched(a, noPassword)
		return
	}
	if !in.target("ssh://"+userHost+path.Join("/", dir), a) {
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
		if fields = fields[1:]; len(fields) > 0 && option != "-v" {
			value, fields = fields[0], fields[1:]
		}
		switch {
		case option == "-v", option == "-f" && value == "auto", option == "-c" && value == "0": // as gokexec does
		case option == "-p":
			port = value
		case option == "-i":
			interval = value
		default:
			rest = append(rest, strings.TrimSpace(option+" "+value))
		}
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
	n, err := strconv.Atoi(interval)
	switch {
	case interval == "":
	case err != nil:
		in.unmatched(b, "not a number of seconds: "+interval)
	case nodes != "":
		in.set(sectionCapture, "FenceKdumpInterval", strconv.Itoa(n), b)
	}
}
