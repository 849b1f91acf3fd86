# dt: build, test, install. `make help` lists the targets; README.md says what each is for.
SHELL := /bin/bash
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || cat VERSION 2>/dev/null || echo unknown)

# ---- what a packager sets -------------------------------------------------------------------
prefix      ?= /usr/local
bindir      ?= $(prefix)/bin
libdir      ?= $(prefix)/lib
libexecdir  ?= $(prefix)/libexec
datadir     ?= $(prefix)/share
mandir      ?= $(datadir)/man
sysconfdir  ?= $(prefix)/etc
DESTDIR     ?=
SLURM_PREFIX ?= /usr
CC          ?= gcc
ifeq ($(origin CC),default)
CC          := gcc
endif
MPICC       ?= mpicc
BUILD       ?= build
SANITIZE    ?=
# ----------------------------------------------------------------------------------------------

HARDEN   := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ifneq ($(SANITIZE),)
HARDEN   := -fPIE -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral
CPPFLAGS += -D_GNU_SOURCE -Ilib -I$(BUILD)/include -DDT_SYSCONFDIR='"$(sysconfdir)/dt"' \
            -DDT_DATADIR='"$(datadir)/dt"' -DDT_LIBEXECDIR='"$(libexecdir)/dt"'
CFLAGS   := -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(CFLAGS)
LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
DEPFLAGS  = -MMD -MP

LIB_LIBS    := -ljansson -lconfuse -lhwloc -ldl
GATHER_LIBS := -levent_core $(LIB_LIBS)

LIB_SRC    := $(wildcard lib/*/*.c)
SPANK_SRC  := $(wildcard spank/*.c)
NODE_SRC   := $(wildcard launcher/dt-node/*.c)
GATHER_SRC := $(wildcard launcher/dt-gather/*.c)
LAUNCH_SRC := $(wildcard launcher/dt-launch/*.c)
TRAIN_SRC  := $(wildcard bench/train/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIBDT   := $(BUILD)/libdt.a
SPANK   := $(BUILD)/lib/spank_dt.so
PROGRAMS := $(BUILD)/bin/dt-launch $(BUILD)/bin/dt-train $(BUILD)/libexec/dt-node $(BUILD)/libexec/dt-gather
LOCALCLUSTER := $(BUILD)/localcluster/dt-personality $(BUILD)/localcluster/libnvidia-ml.so.1
MAN     := $(patsubst docs/man/%.scd,$(BUILD)/man/%,$(wildcard docs/man/*.scd))
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))

.PHONY: all
all: $(LIBDT) $(SPANK) $(PROGRAMS) $(LOCALCLUSTER) $(MAN) ## build everything

# ---- rules -----------------------------------------------------------------------------------
$(BUILD)/include/version.h: FORCE
	@mkdir -p $(@D); echo '#define DT_VERSION "$(VERSION)"' > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(BUILD)/obj/%.o: %.c | $(BUILD)/include/version.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPFLAGS) -c $< -o $@

$(LIBDT): $(call obj,$(LIB_SRC))
	@mkdir -p $(@D); rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/libexec/dt-node: $(call obj,$(NODE_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

$(BUILD)/libexec/dt-gather: $(call obj,$(GATHER_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(GATHER_LIBS) -o $@

# dt-launch runs in containers that hold no library of ours: static.
$(BUILD)/bin/dt-launch: $(call obj,$(LAUNCH_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(filter-out -pie,$(LDFLAGS)) $(if $(SANITIZE),,-static-pie) $^ -o $@

# The plugin: position-independent, hidden symbols, no library but libc. Slurm's own symbols come from its host process.
$(BUILD)/obj/spank/%.o: spank/%.c | $(BUILD)/include/version.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I$(SLURM_PREFIX)/include $(filter-out -fPIE,$(CFLAGS)) -fPIC -fvisibility=hidden $(DEPFLAGS) -c $< -o $@

$(SPANK): $(call obj,$(SPANK_SRC)) spank/spank_dt.lds
	@mkdir -p $(@D)
	$(CC) -shared $(filter-out -fPIE,$(CFLAGS)) $(filter-out -pie,$(LDFLAGS)) -Wl,--version-script=spank/spank_dt.lds $(filter %.o,$^) -o $@.new
	mv $@.new $@

# The training core is compiled for the machine class at run time (function multiversioning), and links MPI only.
TRAIN_OPT ?= -O3 -g -fopenmp -ffp-contract=fast -fno-math-errno -fno-trapping-math
$(BUILD)/obj/bench/train/%.o: bench/train/%.c | $(BUILD)/include/version.h
	@mkdir -p $(@D)
	$(MPICC) $(CPPFLAGS) $(filter-out -O2,$(CFLAGS)) $(TRAIN_OPT) $(DEPFLAGS) -c $< -o $@

$(BUILD)/bin/dt-train: $(call obj,$(TRAIN_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(MPICC) $(CFLAGS) $(TRAIN_OPT) $(LDFLAGS) $^ -lm -ldl -o $@

$(BUILD)/localcluster/dt-personality: $(call obj,contrib/localcluster/personality.c) $(LIBDT)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

$(BUILD)/localcluster/libnvidia-ml.so.1: contrib/localcluster/fake_nvml.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -shared -Wl,-soname,libnvidia-ml.so.1 $< -o $@

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIBDT)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -lcmocka $(GATHER_LIBS) -o $@

$(BUILD)/man/%: docs/man/%.scd
	@mkdir -p $(@D)
	scdoc < $< > $@.new && mv $@.new $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
