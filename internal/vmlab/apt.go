package vmlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A suite is where packages are taken from. The names are Debian's; each
// brings what it needs itself.
type suite struct {
	archive  []string // suites of the archive
	security []string // suites of the security archive
	release  string   // whose versions are preferred
}

var suites = map[string]suite{
	"bullseye":         {[]string{"bullseye"}, nil, ""},
	"bookworm":         {[]string{"bookworm", "bookworm-updates"}, []string{"bookworm-security"}, ""},
	"trixie":           {[]string{"trixie", "trixie-updates"}, []string{"trixie-security"}, ""},
	"trixie-backports": {[]string{"trixie", "trixie-backports"}, []string{"trixie-security"}, "trixie-backports"},
	"sid":              {[]string{"sid"}, nil, ""},
}

// apt runs apt-get and apt-cache over a directory of its own: the system's package
// state is neither read nor changed. How to reach the archive (proxies,
// certificates) is the machine's own apt configuration.
type apt struct {
	dir  string
	arch string // Debian's name of the architecture
}

// openApt makes, or refreshes, the package lists of one suite and architecture.
// The caller holds the suite's lock.
func openApt(ctx context.Context, c cache, suiteName, arch string) (*apt, error) {
	sources, err := ReadSources(os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	s, ok := suites[suiteName]
	if !ok {
		return nil, fmt.Errorf("unknown Debian suite %q", suiteName)
	}
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is needed to get Debian packages (apt, dpkg; elsewhere name a kernel by GOKEXEC_VM_KERNEL): %w", tool, err)
		}
	}
	a := &apt{dir: c.path("apt", suiteName+"-"+arch), arch: arch}
	for _, d := range []string{"parts", "prefs", "lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	files := map[string]string{
		"status":               "",
		"parts/debian.sources": s.stanzas(sources),
		"apt.conf":             a.config(s.release),
	}
	for name, content := range files {
		if err := replaceFile(filepath.Join(a.dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	stamp := filepath.Join(a.dir, "updated")
	info, err := os.Stat(stamp)
	if err == nil && time.Since(info.ModTime()) < freshFor && !refreshWanted() {
		return a, nil
	}
	if err = a.update(ctx); err == nil {
		return a, replaceFile(stamp, nil, 0o644)
	}
	// A mirror may be in the middle of an update. What rarely changes may be
	// complete nevertheless; it is used, but not for a day.
	base := suite{archive: slices.DeleteFunc(slices.Clone(s.archive), func(name string) bool {
		return strings.HasSuffix(name, "-updates")
	})}
	if ctx.Err() != nil || replaceFile(filepath.Join(a.dir, "parts/debian.sources"), []byte(base.stanzas(sources)), 0o644) != nil ||
		a.update(ctx) != nil {
		return nil, err
	}
	return a, nil
}

// lockApt takes the lock of a suite's package lists for an architecture.
func (c cache) lockApt(ctx context.Context, suiteName, arch string) (unlock func(), err error) {
	return c.lock(ctx, "apt-"+suiteName+"-"+arch)
}

// withApt lends the package lists of a suite and an architecture.
func withApt(ctx context.Context, c cache, suiteName, arch string, use func(a *apt) error) error {
	unlock, err := c.lockApt(ctx, suiteName, arch)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := openApt(ctx, c, suiteName, arch)
	if err != nil {
		return err
	}
	return use(a)
}

func (a *apt) update(ctx context.Context) error {
	_, err := a.run(ctx, "", "apt-get", "update", "-q", "--error-on=any")
	return err
}

func (s suite) stanzas(sources Sources) string {
	var b strings.Builder
	write := func(source Source, names []string) {
		if len(names) == 0 {
			return
		}
		fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n", source.URI, strings.Join(names, " "))
		if source.SignedBy != "" {
			fmt.Fprintf(&b, "Signed-By: %s\n", source.SignedBy)
		}
		b.WriteByte('\n')
	}
	write(sources.Archive, s.archive)
	write(sources.Security, s.security)
	return b.String()
}

// config is read by apt after the machine's own configuration, so that hooks
// and extra indexes configured there can be cleared.
func (a *apt) config(release string) string {
	return fmt.Sprintf(`#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::Contents-deb;
#clear APT::Architectures;
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Default-Release "%[3]s";
APT::Install-Recommends "false";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "%[1]s/parts";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "%[1]s/prefs";
Dir::State "%[1]s";
Dir::State::Lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Cache::archives "%[1]s/cache/archives";
`, a.dir, a.arch, release)
}

// run runs one of apt's tools and returns what it printed.
func (a *apt) run(ctx context.Context, dir, tool string, args ...string) (string, error) {
	return runTool(ctx, dir, tool, append([]string{"-c=" + filepath.Join(a.dir, "apt.conf")}, args...)...)
}

// candidate returns the control fields of the version that would be installed.
func (a *apt) candidate(ctx context.Context, name string) (map[string]string, error) {
	text, err := a.run(ctx, "", "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return nil, err
	}
	stanzas := parseStanzas(text)
	if len(stanzas) == 0 || stanzas[0]["package"] != name {
		return nil, fmt.Errorf("apt-cache show %s: no such package", name)
	}
	return stanzas[0], nil
}

// download gives use the .deb files of exactly these packages ("name=version"), which are
// beside a directory that is being filled until it returns.
func (a *apt) download(ctx context.Context, beside string, packages []string, use func(debs []string) error) error {
	dir, err := os.MkdirTemp(filepath.Dir(beside), ".debs-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := a.run(ctx, dir, "apt-get", append([]string{"download", "-q"}, packages...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	return use(debs)
}

// downloadAll downloads packages with all they depend on, for a machine that
// has nothing yet.
func (a *apt) downloadAll(ctx context.Context, names ...string) ([]string, error) {
	archives := filepath.Join(a.dir, "cache", "archives")
	if err := removeDebs(archives); err != nil {
		return nil, err
	}
	_, err := a.run(ctx, "", "apt-get", append([]string{"install", "-q", "-y", "--download-only"}, names...)...)
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(archives, "*.deb"))
}

func removeDebs(dir string) error {
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	for _, deb := range debs {
		err = errors.Join(err, os.Remove(deb))
	}
	return err
}

// unpack extracts .deb files over each other into root.
func unpack(ctx context.Context, debs []string, root string) error {
	for _, deb := range debs {
		if _, err := runTool(ctx, "", "dpkg-deb", "-x", deb, root); err != nil {
			return err
		}
	}
	return nil
}

// runTool runs a host program to its end. The error holds what it said.
func runTool(ctx context.Context, dir, tool string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(tail(stderr.String(), 20))
		if said == "" {
			said = strings.TrimSpace(tail(stdout.String(), 10))
		}
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(tool), err, said)
	}
	return stdout.String(), nil
}

// tail returns the last n lines of text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
