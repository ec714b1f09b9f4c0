package vmlab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	defaultArchive  = "http://deb.debian.org/debian"
	defaultSecurity = "http://deb.debian.org/debian-security"
	archiveKeyring  = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// debianSuites are the suites by which a Debian archive is told from other
// repositories.
var debianSuites = []string{
	"bullseye", "bookworm", "trixie", "forky", "sid", "experimental",
	"oldoldstable", "oldstable", "stable", "testing", "unstable",
}

// Source is a Debian archive as this machine reaches it.
type Source struct {
	URI      string // one that apt understands, mirror+file: included
	SignedBy string // path of a keyring; empty is apt's default
}

// Sources are the archives kernels and packages come from.
type Sources struct {
	Archive  Source // bookworm, trixie, sid, *-backports, *-updates
	Security Source // *-security
}

// ReadSources finds the machine's own Debian sources: etc/apt/sources.list and
// etc/apt/sources.list.d/*.{list,sources} under root (sources.list(5)). What
// isn't found is the official archive.
func ReadSources(root fs.FS) (Sources, error) {
	found := Sources{}
	for _, pattern := range []string{"etc/apt/sources.list", "etc/apt/sources.list.d/*.list", "etc/apt/sources.list.d/*.sources"} {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			return Sources{}, err
		}
		for _, name := range names {
			text, err := fs.ReadFile(root, name)
			if errors.Is(err, fs.ErrPermission) {
				continue // not for this user, so not for this user's apt
			}
			if err != nil {
				return Sources{}, fmt.Errorf("read /%s: %w", name, err)
			}
			entries := parseOneLineSources(string(text))
			if path.Ext(name) == ".sources" {
				entries = parseDeb822Sources(string(text))
			}
			found.add(entries)
		}
	}
	if found.Archive.URI == "" {
		found.Archive = Source{defaultArchive, archiveKeyring}
	}
	if found.Security.URI == "" {
		found.Security = Source{defaultSecurity, archiveKeyring}
	}
	return found, nil
}

// add takes the first usable entry of each kind.
func (s *Sources) add(entries []sourceEntry) {
	for _, e := range entries {
		if !slices.Contains(e.components, "main") {
			continue
		}
		for _, suite := range e.suites {
			suite, _, _ = strings.Cut(suite, "/")
			name, kind, _ := strings.Cut(suite, "-")
			if !slices.Contains(debianSuites, name) {
				continue
			}
			target := &s.Archive
			if kind == "security" {
				target = &s.Security
			}
			if target.URI == "" {
				*target = Source{e.uri, e.signedBy}
			}
		}
	}
}

// sourceEntry is one binary-package source.
type sourceEntry struct {
	uri        string
	suites     []string
	components []string
	signedBy   string
}

// parseDeb822Sources reads the .sources format. Stanzas that are disabled, or
// for source packages only, are left out; a key in the stanza itself instead of
// a path is replaced by Debian's keyring.
func parseDeb822Sources(text string) []sourceEntry {
	var entries []sourceEntry
	for _, stanza := range parseStanzas(text) {
		if strings.EqualFold(stanza["enabled"], "no") || !slices.Contains(strings.Fields(stanza["types"]), "deb") {
			continue
		}
		for _, uri := range strings.Fields(stanza["uris"]) {
			entries = append(entries, sourceEntry{
				uri:        strings.TrimSuffix(uri, "/"),
				suites:     strings.Fields(stanza["suites"]),
				components: strings.Fields(stanza["components"]),
				signedBy:   keyring(stanza["signed-by"]),
			})
		}
	}
	return entries
}

// parseOneLineSources reads "deb [options] uri suite component..." lines.
func parseOneLineSources(text string) []sourceEntry {
	var entries []sourceEntry
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t') {
			continue
		}
		rest = strings.TrimSpace(rest)
		signedBy := ""
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			for _, option := range strings.Fields(options) {
				if value, ok := strings.CutPrefix(option, "signed-by="); ok {
					signedBy = keyring(value)
				}
			}
			rest = after
		}
		fields := strings.Fields(rest)
		if len(fields) < 3 {
			continue
		}
		entries = append(entries, sourceEntry{
			uri:        strings.TrimSuffix(fields[0], "/"),
			suites:     fields[1:2],
			components: fields[2:],
			signedBy:   signedBy,
		})
	}
	return entries
}

func keyring(signedBy string) string {
	signedBy = strings.TrimSpace(signedBy)
	switch {
	case signedBy == "":
		return ""
	case strings.HasPrefix(signedBy, "/") && !strings.ContainsAny(signedBy, " \n,"):
		return signedBy
	}
	return archiveKeyring
}

// parseStanzas reads deb822 text (deb822(5)): field names in lower case,
// comments dropped, continuation lines joined by newlines.
func parseStanzas(text string) []map[string]string {
	var stanzas []map[string]string
	var stanza map[string]string
	var field string
	scanner := bufio.NewScanner(strings.NewReader(text))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := strings.TrimRight(scanner.Text(), " \t\r")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			stanza, field = nil, ""
		case line[0] == ' ' || line[0] == '\t':
			if field != "" {
				stanza[field] += "\n" + strings.TrimSpace(line)
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				field = ""
				continue
			}
			if stanza == nil {
				stanza = map[string]string{}
				stanzas = append(stanzas, stanza)
			}
			field = strings.ToLower(name)
			stanza[field] = strings.TrimSpace(value)
		}
	}
	return stanzas
}
