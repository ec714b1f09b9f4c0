package main

import (
	"github.com/spf13/pflag"
)

// configKey is a key of gokexec.conf. It stands for an option of a command, which has its help text, its
// type and its checks.
type configKey struct {
	section, key string
	command      string // that has the option; "" for those of configOptions
	flag         string
	note         string // what differs from the command's option; a sentence
}

// configSections are the sections, in the order of gokexec.conf(5).
var configSections = []struct{ name, about string }{
	{"Kernel", "The crash kernel: which, its command line, and how it is loaded."},
	{"Capture", "Where the capture kernel saves the dump, what is in it, and what comes after it."},
	{"Hooks", "Programs of this machine that the capture kernel runs before and after the capture."},
	{"Initramfs", "What is in the initramfs of the capture kernel, in addition to what the targets need."},
	{"Remote", "How stores over the network are reached: those of targets, and that of gokexec ship."},
	{"Ship", "What gokexec ship sends after the reboot."},
	{"Hotplug", "How gokexec hotplug loads the crash kernel again."},
	{"Metrics", "What gokexec-metrics.service writes for Prometheus."},
}

// configKeys is the table of keys. A key has the name of its option.
var configKeys = []configKey{
	{section: "Kernel", key: "Image", flag: "image"},
	{section: "Kernel", key: "Cmdline", command: "load", flag: "cmdline"},
	{section: "Kernel", key: "ReuseCmdline", command: "load", flag: "reuse-cmdline", note: "By default it is on, unless Cmdline= is set."},
	{section: "Kernel", key: "Append", command: "load", flag: "append"},
	{section: "Kernel", key: "CmdlineExact", command: "load", flag: "cmdline-exact"},
	{section: "Kernel", key: "CPUs", command: "load", flag: "cpus"},
	{section: "Kernel", key: "Method", command: "load", flag: "method"},
	{section: "Kernel", key: "Hotplug", command: "load", flag: "hotplug"},
	{section: "Kernel", key: "NoChecks", command: "load", flag: "no-checks"},
	{section: "Kernel", key: "Serial", command: "load", flag: "serial"},
	{section: "Kernel", key: "DeviceTree", command: "load", flag: "dtb"},

	{section: "Capture", key: "Target", flag: "target"},
	{section: "Capture", key: "DumpLevel", command: "initramfs", flag: "dump-level"},
	{section: "Capture", key: "Format", command: "initramfs", flag: "format"},
	{section: "Capture", key: "Compress", command: "initramfs", flag: "compress"},
	{section: "Capture", key: "KeepFree", command: "initramfs", flag: "keep-free"},
	{section: "Capture", key: "KeepDump", command: "initramfs", flag: "keep-dump"},
	{section: "Capture", key: "KeepDumps", command: "initramfs", flag: "keep-dumps"},
	{section: "Capture", key: "StartDirtyDegraded", command: "initramfs", flag: "start-dirty-degraded"},
	{section: "Capture", key: "DiskKeys", command: "initramfs", flag: "disk-keys"},
	{section: "Capture", key: "DeviceTimeout", command: "initramfs", flag: "device-timeout"},
	{section: "Capture", key: "StallTimeout", command: "initramfs", flag: "stall-timeout"},
	{section: "Capture", key: "ReportTimeout", command: "initramfs", flag: "report-timeout"},
	{section: "Capture", key: "NetworkTimeout", command: "initramfs", flag: "network-timeout"},
	{section: "Capture", key: "FenceKdump", command: "initramfs", flag: "fence-kdump"},
	{section: "Capture", key: "FenceKdumpInterval", command: "initramfs", flag: "fence-kdump-interval"},
	{section: "Capture", key: "FinalAction", command: "initramfs", flag: "final-action"},
	{section: "Capture", key: "FailureAction", command: "initramfs", flag: "failure-action"},
	{section: "Capture", key: "Overwrite", command: "initramfs", flag: "overwrite"},
	{section: "Capture", key: "Watchdog", command: "initramfs", flag: "watchdog"},
	{section: "Capture", key: "FSType", command: "initramfs", flag: "fstype"},
	{section: "Capture", key: "MountOptions", command: "initramfs", flag: "mount-options"},
	{section: "Capture", key: "NFSOptions", command: "initramfs", flag: "nfs-options"},

	{section: "Hooks", key: "Pre", command: "initramfs", flag: "hook-pre"},
	{section: "Hooks", key: "Post", command: "initramfs", flag: "hook-post"},
	{section: "Hooks", key: "Emergency", command: "initramfs", flag: "hook-emergency"},
	{section: "Hooks", key: "Timeout", command: "initramfs", flag: "hook-timeout"},

	{section: "Initramfs", key: "Module", command: "initramfs", flag: "module"},
	{section: "Initramfs", key: "OptionalModule", command: "initramfs", flag: "optional-module"},
	{section: "Initramfs", key: "Set", command: "initramfs", flag: "set"},
	{section: "Initramfs", key: "Add", command: "initramfs", flag: "add"},
	{section: "Initramfs", key: "Shell", command: "initramfs", flag: "shell"},
	{section: "Initramfs", key: "Compression", command: "initramfs", flag: "compression"},
	{section: "Initramfs", key: "Init", command: "initramfs", flag: "init"},
	{section: "Initramfs", key: "UpdateInitramfs", flag: "update-initramfs"},

	{section: "Remote", key: "Endpoint", command: "initramfs", flag: "endpoint"},
	{section: "Remote", key: "Region", command: "initramfs", flag: "region"},
	{section: "Remote", key: "PathStyle", command: "initramfs", flag: "path-style"},
	{section: "Remote", key: "Credentials", command: "initramfs", flag: "credentials"},
	{section: "Remote", key: "CAFile", command: "initramfs", flag: "ca-file"},
	{section: "Remote", key: "ClientCert", command: "initramfs", flag: "client-cert"},
	{section: "Remote", key: "ClientKey", command: "initramfs", flag: "client-key"},
	{section: "Remote", key: "KnownHosts", command: "initramfs", flag: "known-hosts"},
	{section: "Remote", key: "SSHKey", command: "initramfs", flag: "ssh-key"},
	{section: "Remote", key: "Encrypt", command: "initramfs", flag: "encrypt"},
	{section: "Remote", key: "RemoteKeys", command: "initramfs", flag: "remote-keys"},

	{section: "Ship", key: "To", command: "ship", flag: "to"},
	{section: "Ship", key: "MaxPerFingerprint", command: "ship", flag: "max-per-fingerprint"},
	{section: "Ship", key: "ClaimTimeout", command: "ship", flag: "claim-timeout"},
	{section: "Ship", key: "Keep", command: "ship", flag: "keep"},

	{section: "Hotplug", key: "ReloadCommand", command: "hotplug", flag: "reload-command"},
	{section: "Hotplug", key: "ReloadTimeout", command: "hotplug", flag: "reload-timeout"},
	{section: "Hotplug", key: "ReloadMethod", command: "hotplug", flag: "reload-method"},

	{section: "Metrics", key: "File", flag: "metrics-file"},
}

// notConfigured are the options of those commands that are no keys, and why.
var notConfigured = map[string]string{
	"load --crash": "arm loads crash kernels only", "load --boot": "arm loads crash kernels only",
	"load --initrd": "arm builds it", "load --force": "arm builds the initrd that it would judge",
	"load --dry-run": "of one call", "load --unless-loaded": "of one call", "load --json": "of one call", "load --debug": "of one call", "load --wait": "of one call",
	"load --sysroot": "of another machine", "load --arch": "of another machine",
	"initramfs --output": "arm keeps no file", "initramfs --list": "of one call", "initramfs --json": "of one call",
	"initramfs --kernel": "that of Image=", "initramfs --sysroot": "of another machine", "initramfs --arch": "of another machine", "initramfs --other-machine": "of another machine",
	"hotplug --daemon": "of one call", "hotplug --hand-over": "of one call",
}

// defaultTarget is where dumps go unless Target= says otherwise.
const defaultTarget = "/var/crash"

// configOptions are the keys that no other command has an option for.
type configOptions struct {
	image           string
	targets         []string
	updateInitramfs bool
	metricsFile     string
}

func (o *configOptions) declare(flags *pflag.FlagSet) {
	flags.StringVar(&o.image, "image", "", "`FILE` of the crash kernel; by default that of the running kernel, which gokexec finds")
	flags.StringArrayVar(&o.targets, "target", []string{defaultTarget}, "`TARGET` of the dump, as for gokexec initramfs (may be repeated: the first with room for all of it counts). A directory, except for "+defaultTarget+", must be there, and the mount that /etc/fstab has for it must be mounted")
	flags.BoolVar(&o.updateInitramfs, "update-initramfs", false, "whether update-initramfs of Debian's initramfs-tools puts gokexec and the targets into each initramfs that it makes, for capture kernels that are loaded with one of those; gokexec arm does not need it")
	flags.StringVar(&o.metricsFile, "metrics-file", defaultMetricsFile, "`FILE` for gokexec metrics --write, an absolute path; nothing is written where its directory is not there")
}
