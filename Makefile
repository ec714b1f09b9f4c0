# gokexec: make demo, make test; make help lists the rest.

GO      ?= go
DESTDIR ?=
PREFIX  ?= /usr
SBINDIR ?= $(PREFIX)/sbin
# where makedumpfile is: in Debian /usr/bin
MAKEDUMPFILEDIR ?= $(SBINDIR)
MANDIR  ?= $(PREFIX)/share/man
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
GENERATORDIR ?= $(PREFIX)/lib/systemd/system-generators
DATADIR ?= $(PREFIX)/share/gokexec
LIBDIR  ?= $(PREFIX)/lib/gokexec
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DRACUTDIR ?= $(PREFIX)/lib/dracut/modules.d
INITRAMFSTOOLSDIR ?= $(PREFIX)/share/initramfs-tools
MKINITCPIODIR ?= $(PREFIX)/lib/initcpio
# yes: install gokexec as kexec, vmcore-dmesg and makedumpfile too, in place of kexec-tools and makedumpfile
DROPIN  ?= yes
RELEASE ?= $(shell git describe --tags --always --dirty 2>/dev/null)

ARCHES  := amd64 arm64 riscv64 ppc64le s390x loong64 arm 386
# Those of 32 bits, which have source files of their own: make check vets amd64 whole.
VETTED  := arm 386
# With the flags of the release builds everywhere, no package is compiled twice.
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS) -trimpath)
GOFLAGS_BUILD := -ldflags "-s -w -X github.com/gokexec/gokexec/internal/early.release=$(RELEASE)"
TOOL    := $(GO) tool -modfile=tools/go.mod

.PHONY: help build cross demo test check unit fuzz vm vm-setup vm-storage vm-network vm-report vm-built test-readers test-full bench deps generate man completions install deb rpm clean

help:
	@echo 'make build     bin/gokexec and bin/gokexec-remote, static'
	@echo 'make demo      boot a kernel in QEMU, crash it, and compare the saved memory'
	@echo 'make test      all checks, unit tests and VM tests (GOKEXEC_VM_MATRIX=full: every kernel)'
	@echo 'make check     format, vet, staticcheck, words, all architectures compile'
	@echo 'make unit      unit tests, with the race detector'
	@echo 'make fuzz      each fuzz target for FUZZTIME (10s)'
	@echo 'make vm        the tests in QEMU'
	@echo 'make vm-setup  Debians 12 and 13: gokexec setup, kernel upgrade, drill, removal, by their own boot loaders'
	@echo 'make vm-built  the tests on kernels that no package has; builds them first (30 minutes, once)'
	@echo 'make test-readers  crash(8) and drgn(1) read every form of dump that gokexec writes (a download of 1 GB, once)'
	@echo 'make vm-storage  dumps on LVM, md RAID, LUKS, multipath, btrfs: each layout, on every kernel'
	@echo 'make vm-network  dumps to servers of NFS, S3 and SSH on this host, over every kind of network'
	@echo 'make vm-report  kernels crash in every way that a report tells apart: each way, on every kernel'
	@echo 'make test-full everything, on every kernel, with no time limit: check, unit, ship, vm, vm-setup, vm-storage, vm-network, vm-report, vm-built, test-readers, fuzz'
	@echo 'make bench     benchmarks, compared with kexec-tools in the same VM'
	@echo 'make generate  regenerate the generated files that are committed'
	@echo 'make install   into DESTDIR: the binary, also as kexec, vmcore-dmesg and makedumpfile (not with'
	@echo '               DROPIN=no), man pages, completions, udev rule, units, hooks of initramfs builders'
	@echo 'make deb, rpm  packages of it in bin/, for PKGARCH (amd64)'

build: bin/gokexec bin/gokexec-local bin/gokexec-remote

# gokexec-remote speaks HTTP/1.1 only.
REMOTETAGS := -tags nethttpomithttp2
.PHONY: bin/gokexec bin/gokexec-local bin/gokexec-remote
bin/gokexec:
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_BUILD) -o $@ ./cmd/gokexec
	$(GO) run ./internal/isstatic $@

# The init of captures that need no network.
bin/gokexec-local:
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_BUILD) -tags gokexec_local -o $@ ./cmd/gokexec
	$(GO) run ./internal/isstatic $@

bin/gokexec-remote:
	CGO_ENABLED=0 $(GO) build $(REMOTETAGS) -ldflags "-s -w" -o $@ ./cmd/gokexec-remote
	$(GO) run ./internal/isstatic $@

cross:
	@for arch in $(ARCHES); do \
		echo "build linux/$$arch"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(GOFLAGS_BUILD) -o bin/gokexec-$$arch ./cmd/gokexec || exit 1; \
		$(GO) run ./internal/isstatic bin/gokexec-$$arch || exit 1; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(REMOTETAGS) -ldflags "-s -w" -o bin/gokexec-remote-$$arch ./cmd/gokexec-remote || exit 1; \
	done
	@for arch in $(VETTED); do \
		echo "vet linux/$$arch"; \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) vet ./pkg/... ./cmd/... ./internal/kexecsys ./internal/devmapper || exit 1; \
	done

deps:
	@scripts/deps

demo: deps
	@$(GO) run ./test/demo

test: deps check unit vm

check: build cross
	@test -z "$$(gofmt -l .)" || { echo 'not formatted by gofmt:'; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags gokexec_local ./pkg/capture ./cmd/gokexec
	$(TOOL) staticcheck ./...
	@scripts/words
	@scripts/generated
	@scripts/shell
	@scripts/installed
	@scripts/packaged

# One goroutine at a time works in these, or they repeat what others do with the race detector, and most of unit's time
# with it would be theirs. A report is made by a process with little memory: cgo gives each of its threads 8 MiB.
NORACE := ^Test(FullDisk|BoundedMemory|MakedumpfileCommandLines|HostileUnpack|HostileWrapped|HostileWindow|Protocol|ReportMemoryIsBounded|ReportParts|CaptureSavesReport)$$

# The race detector needs cgo, the packages under test do not. Hostile files of cmd/gokexec are bounded by
# address space, of which the detector takes more.
unit:
	CGO_ENABLED=1 $(GO) test -race -timeout 30m -skip '^TestVM|$(NORACE)' ./...
	CGO_ENABLED=0 $(GO) test -run 'Hostile|$(NORACE)' ./cmd/gokexec ./pkg/capture ./pkg/bootimage ./pkg/hotplug ./pkg/pagefilter ./internal/decompress ./test/differential

vm:
	@scripts/vm-tests

# Debian's kernels for arm64 and riscv64 have no kexec_file_load, and no pages of 64 KiB; those for amd64 hand over no keys of disks.
vm-built:
	@scripts/deps built
	GOKEXEC_VM_REQUIRED=1 GOKEXEC_VM_BUILT=all CGO_ENABLED=0 $(GO) test -v -count=1 -timeout 3h -run '^TestVMBuilt' ./test/vm ./test/storage

# Whole Debians are set up by one command, upgraded, drilled and left as they were.
vm-setup: deps
	GOKEXEC_VM_REQUIRED=1 GOKEXEC_VM_DEBIAN=bookworm,trixie CGO_ENABLED=0 $(GO) test -v -count=1 -timeout 2h -run '^TestVMSetup' ./test/debian

# All stacks of devices that a dump can be saved on, on all kernels.
vm-storage: deps
	GOKEXEC_VM_REQUIRED=1 GOKEXEC_VM_STORAGE=all GOKEXEC_VM_MATRIX=full CGO_ENABLED=0 $(GO) test -v -count=1 -parallel 2 -timeout 3h -run '^TestVM' ./test/storage

# Machines crash and save to servers of this host: NFS, S3, SSH.
vm-network: deps
	GOKEXEC_VM_REQUIRED=1 GOKEXEC_STORES_REQUIRED=1 GOKEXEC_VM_NETWORK=all CGO_ENABLED=0 $(GO) test -v -count=1 -parallel 2 -timeout 2h -run '^TestVM' ./test/network

# All ways to crash, on all kernels.
vm-report: deps
	GOKEXEC_VM_REQUIRED=1 GOKEXEC_VM_REPORT=all GOKEXEC_VM_MATRIX=full CGO_ENABLED=0 $(GO) test -v -count=1 -timeout 3h -run '^TestVMReport' ./test/report

# Programs that are not ours read what we write. They need the kernel's debugging information.
test-readers: deps
	GOKEXEC_VM_REQUIRED=1 GOKEXEC_VM_READERS=1 CGO_ENABLED=0 $(GO) test -v -count=1 -timeout 3h -run '^TestVMReaders' ./test/vm

# Each part can be run alone: GOKEXEC_VM_REQUIRED=1 GOKEXEC_VM_MATRIX=full make vm, and so on.
test-full: export GOKEXEC_VM_REQUIRED = 1
test-full: export GOKEXEC_STORES_REQUIRED = 1
test-full: export GOKEXEC_VM_MATRIX = full
test-full: export GOKEXEC_EXPLORE = full
test-full: deps check unit ship vm vm-setup vm-storage vm-network vm-report vm-built test-readers fuzz

# Uploaders and servers are killed 1,000 times; 1,000 machines have one crash.
.PHONY: ship
ship:
	GOKEXEC_STORES_REQUIRED=1 CGO_ENABLED=0 $(GO) test -v -count=1 -timeout 2h -run 'Killed|Fleet' ./pkg/ship -ship.kills 1000 -ship.nodes 1000

FUZZTIME ?= 10s
fuzz:
	@scripts/fuzz $(FUZZTIME)

bench: deps
	@scripts/bench $(BENCHFLAGS)

generate:
	$(GO) generate ./...

# HOSTGOKEXEC is a gokexec that runs here: it writes its own man pages and completions.
HOSTGOKEXEC ?= bin/gokexec
BINARY      ?= bin/gokexec
LOCALBINARY ?= bin/gokexec-local
REMOTE      ?= bin/gokexec-remote

man: $(HOSTGOKEXEC)
	rm -rf bin/man && mkdir -p bin/man && $(HOSTGOKEXEC) help --man bin/man

completions: $(HOSTGOKEXEC)
	rm -rf bin/completions && mkdir -p bin/completions && $(HOSTGOKEXEC) help --completions bin/completions

# Installs a file of dist/ into a directory, with a mode, and fills in our own directories.
install_dist = mkdir -p $(DESTDIR)$(2) && sed 's|@SBINDIR@|$(SBINDIR)|g; s|@LIBDIR@|$(LIBDIR)|g' $(1) >$(DESTDIR)$(2)/$$(basename $(1)) && chmod $(3) $(DESTDIR)$(2)/$$(basename $(1))

install: $(BINARY) $(LOCALBINARY) $(REMOTE) man completions
	install -D -m 0755 $(BINARY) $(DESTDIR)$(SBINDIR)/gokexec
	install -D -m 0755 $(LOCALBINARY) $(DESTDIR)$(LIBDIR)/gokexec-local
	install -D -m 0755 $(REMOTE) $(DESTDIR)$(LIBDIR)/gokexec-remote
	if [ "$(DROPIN)" = yes ]; then \
		for name in kexec vmcore-dmesg; do ln -sfn gokexec $(DESTDIR)$(SBINDIR)/$$name || exit 1; done; \
		mkdir -p $(DESTDIR)$(MAKEDUMPFILEDIR) && ln -sfnr $(DESTDIR)$(SBINDIR)/gokexec $(DESTDIR)$(MAKEDUMPFILEDIR)/makedumpfile || exit 1; \
	fi
	for page in bin/man/*.[58]; do \
		case $$page in */gokexec*) ;; *) [ "$(DROPIN)" = yes ] || continue ;; esac; \
		install -D -m 0644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$$(basename $$page) || exit 1; \
	done
	install -D -m 0644 bin/completions/gokexec $(DESTDIR)$(BASHDIR)/gokexec
	install -D -m 0644 bin/completions/_gokexec $(DESTDIR)$(ZSHDIR)/_gokexec
	install -D -m 0644 bin/completions/gokexec.fish $(DESTDIR)$(FISHDIR)/gokexec.fish
	$(call install_dist,dist/udev/60-gokexec.rules,$(UDEVDIR),0644)
	$(call install_dist,dist/udev/gokexec-hide-rules,$(LIBDIR),0755)
	for unit in dist/systemd/*; do $(call install_dist,$$unit,$(UNITDIR),0644) || exit 1; done
	$(call install_dist,dist/systemd-generator/gokexec-generator,$(GENERATORDIR),0755)
	$(call install_dist,dist/sandbox/gokexec-sandbox.conf,$(LIBDIR),0644)
	$(call install_dist,dist/openrc/gokexec-hotplug,$(DATADIR)/openrc,0755)
	$(call install_dist,dist/sh/gokexec-hotplug.sh,$(DATADIR),0755)
	$(call install_dist,dist/initramfs/gokexec-capture,$(LIBDIR),0755)
	for script in dist/dracut/50gokexec/*; do $(call install_dist,$$script,$(DRACUTDIR)/50gokexec,0755) || exit 1; done
	$(call install_dist,dist/initramfs-tools/hooks/gokexec,$(INITRAMFSTOOLSDIR)/hooks,0755)
	$(call install_dist,dist/initramfs-tools/scripts/init-premount/gokexec,$(INITRAMFSTOOLSDIR)/scripts/init-premount,0755)
	$(call install_dist,dist/mkinitcpio/install/gokexec,$(MKINITCPIODIR)/install,0644)
	$(call install_dist,dist/mkinitcpio/hooks/gokexec,$(MKINITCPIODIR)/hooks,0644)
	@[ -n "$(DESTDIR)" ] || echo "udev rules of the distribution that reload the crash kernel: $(LIBDIR)/gokexec-hide-rules hide"

PKGARCH ?= amd64
deb rpm: bin/gokexec
	@scripts/package $@ $(PKGARCH)

clean:
	rm -rf bin
