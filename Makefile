# dt: build, test, install. `make help` lists the targets; README.md says what each is for.
SHELL := /bin/bash
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules

VERSION := $(shell cat VERSION 2>/dev/null || git describe --tags --always --dirty 2>/dev/null || echo unknown)

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
# where it is, dt-train gets its part for GPUs, too; it brings CUDA's headers and libraries along
NVCC        ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc))
BUILD       ?= build
SANITIZE    ?=
# ----------------------------------------------------------------------------------------------

HARDEN   := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ifneq ($(SANITIZE),)
HARDEN   := -fPIE -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif
# Programs under a sanitizer run once: half the time to compile, with lines in reports all the same.
OPT      ?= $(if $(SANITIZE),-O1 -g1,-O2 -g)
WARN     := -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral
# (what only -O2 knows well enough not to warn without cause)
WARN     += $(if $(SANITIZE),-Wno-format-truncation -Wno-maybe-uninitialized)
CPPFLAGS += -D_GNU_SOURCE -Ilib -I$(BUILD)/include
CFLAGS   := -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(CFLAGS)
LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
DEPFLAGS  = -MMD -MP

# `make V=1` shows whole commands
Q := $(if $(V),,@)
comma := ,
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

LIB_LIBS    := -ljansson -lconfuse -lhwloc -lpcre2-8 -lm -ldl
TRAIN_LIBS  := -ljansson -lpcre2-8 -lm -ldl
GATHER_LIBS := -levent_core $(LIB_LIBS)

LIB_SRC    := $(wildcard lib/*/*.c)
SPANK_SRC  := $(wildcard spank/*.c)
NODE_SRC   := $(wildcard launcher/dt-node/*.c)
GATHER_SRC := $(wildcard launcher/dt-gather/*.c)
LAUNCH_SRC := $(wildcard launcher/dt-launch/*.c)
ENV_SRC    := $(wildcard launcher/dt-env/*.c)
TOPO_SRC   := $(wildcard launcher/dt-topo/*.c)
VALIDATE_SRC := $(wildcard launcher/dt-validate/*.c)
DRAIN_SRC  := $(wildcard launcher/dt-drain/*.c)
SLURMHELP_SRC := $(wildcard launcher/dt-slurm/*.c)
TRAIN_SRC  := $(wildcard bench/train/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIBDT   := $(BUILD)/libdt.a
SPANK   := $(BUILD)/lib/spank_dt.so
PROGRAMS := $(BUILD)/bin/dt-launch $(BUILD)/bin/dt-env $(BUILD)/bin/dt-topo $(BUILD)/bin/dt-validate \
            $(BUILD)/bin/dt-train $(BUILD)/libexec/dt-node $(BUILD)/libexec/dt-gather $(BUILD)/libexec/dt-drain \
            $(BUILD)/libexec/dt-slurm
# dt-launch under other launchers' names, for srun --dt-shim
SHIMS    := torchrun accelerate deepspeed composer
FAKE_NVML := $(BUILD)/libexec/selftest/libnvidia-ml.so.1
LOCALCLUSTER := $(BUILD)/localcluster/dt-personality $(BUILD)/localcluster/libnvidia-ml.so.1
TRAIN_CUDA := $(if $(NVCC),$(BUILD)/bin/dt-train-cuda.so)
MAN     := $(patsubst docs/man/%.scd,$(BUILD)/man/%,$(wildcard docs/man/*.scd)) $(BUILD)/man/dt.conf.5
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))

.PHONY: all
all: $(LIBDT) $(SPANK) $(PROGRAMS) $(FAKE_NVML) $(LOCALCLUSTER) $(addprefix $(BUILD)/libexec/shim/,$(SHIMS)) $(BUILD)/tools/crowd $(BUILD)/tools/starts $(BUILD)/tools/slow-fs $(MAN) ## build everything

# ---- rules -----------------------------------------------------------------------------------
$(BUILD)/include/version.h: FORCE
	$(call write-if-changed,'#define DT_VERSION "$(VERSION)"')
# Another prefix on the command line rebuilds the few files that name a directory.
$(BUILD)/include/paths.h: FORCE
	$(call write-if-changed,'#define DT_SYSCONFDIR "$(sysconfdir)/dt"' '#define DT_DATADIR "$(datadir)/dt"' \
	    '#define DT_LIBEXECDIR "$(libexecdir)/dt"')
# Another Slurm rebuilds the plugin.
$(BUILD)/include/slurm-prefix: FORCE
	$(call write-if-changed,'$(SLURM_PREFIX)')
write-if-changed = @mkdir -p $(@D); printf '%s\n' $(1) > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
GENERATED := $(BUILD)/include/version.h $(BUILD)/include/paths.h
.PHONY: FORCE
# objects of tests are kept between runs (a bare .SECONDARY would keep version.h stale)
.PRECIOUS: $(BUILD)/obj/%.o $(BUILD)/obj/tests/unit/test_train_%.o $(BUILD)/obj/tests/unit/test_train_double_%.o $(BUILD)/fuzz/obj/%.o \
           $(BUILD)/obj/fake-cuda/%.o $(BUILD)/obj/fake-cuda-double/%.o $(BUILD)/obj/train-cuda/%.o

$(BUILD)/obj/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPFLAGS) -c $< -o $@

$(LIBDT): $(call obj,$(LIB_SRC))
	@mkdir -p $(@D); rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/libexec/dt-node: $(call obj,$(NODE_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

$(BUILD)/libexec/dt-gather: $(call obj,$(GATHER_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(GATHER_LIBS) -o $@

# The only programs that talk to slurmctld, and so the only ones with libslurm. Another Slurm rebuilds them.
link-libslurm = -L$(SLURM_PREFIX)/lib $(if $(filter /usr,$(SLURM_PREFIX)),,-Wl$(comma)-rpath$(comma)$(SLURM_PREFIX)/lib) -lslurm
# (system headers: slurm.h declares without prototypes)
$(BUILD)/obj/launcher/dt-drain/%.o $(BUILD)/obj/launcher/dt-slurm/%.o: CPPFLAGS += -isystem $(SLURM_PREFIX)/include
$(BUILD)/obj/launcher/dt-drain/main.o $(BUILD)/obj/launcher/dt-slurm/main.o: $(BUILD)/include/slurm-prefix
$(BUILD)/libexec/dt-drain: $(call obj,$(DRAIN_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(link-libslurm) $(LIB_LIBS) -o $@

$(BUILD)/libexec/dt-slurm: $(call obj,$(SLURMHELP_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(link-libslurm) $(LIB_LIBS) -o $@

$(BUILD)/bin/dt-env: $(call obj,$(ENV_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

$(BUILD)/bin/dt-topo: $(call obj,$(TOPO_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

$(BUILD)/bin/dt-validate: $(call obj,$(VALIDATE_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

# dt-launch runs in containers that hold no library of ours: static.
$(BUILD)/bin/dt-launch: $(call obj,$(LAUNCH_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(filter-out -pie,$(LDFLAGS)) $(if $(SANITIZE),,-static-pie) $^ -o $@

$(addprefix $(BUILD)/libexec/shim/,$(SHIMS)): | $(BUILD)/bin/dt-launch
	@mkdir -p $(@D)
	@ln -sfn ../../bin/dt-launch $@

# The plugin: position-independent, hidden symbols, no library but libc. Slurm's own symbols come from its host process.
# -MD: an update of Slurm's own headers rebuilds it too, as Slurm demands.
$(BUILD)/obj/spank/%.o: spank/%.c $(BUILD)/include/slurm-prefix | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) -I$(SLURM_PREFIX)/include $(filter-out -fPIE,$(CFLAGS)) -fPIC -fvisibility=hidden -MD -MP -c $< -o $@

$(SPANK): $(call obj,$(SPANK_SRC)) spank/spank_dt.lds
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(filter-out -fPIE,$(CFLAGS)) $(filter-out -pie,$(LDFLAGS)) -Wl,--version-script=spank/spank_dt.lds $(filter %.o,$^) -o $@.new
	$(Q)mv $@.new $@

# The training core is compiled for the machine class at run time (function multiversioning), and links MPI only.
# (clang tells of each "omp simd" that it leaves alone; that is no error)
TRAIN_OPT ?= -Wno-pass-failed $(if $(SANITIZE),-O1 -g1,-O3 -g) -fopenmp -ffp-contract=fast -fno-math-errno -fno-trapping-math
$(BUILD)/obj/bench/train/%.o: bench/train/%.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(MPICC) $(CPPFLAGS) $(filter-out -O2,$(CFLAGS)) $(TRAIN_OPT) $(DEPFLAGS) -c $< -o $@

$(BUILD)/bin/dt-train: $(call obj,$(TRAIN_SRC)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(MPICC) $(CFLAGS) $(TRAIN_OPT) $(LDFLAGS) $^ $(TRAIN_LIBS) -o $@

# Its part for GPUs, opened at run time; the same version only. Kernels for the GPUs of 2020 (8.0) and later: machine code of the
# common ones, and what the driver translates for the rest. Numbers are as on the CPU: no --use_fast_math.
CUDA_HOME  := $(patsubst %/bin/,%,$(dir $(NVCC)))
CUDA_ARCHS ?= 80 90 100
TRAIN_CUDA_C  := $(wildcard bench/train/cuda/*.c) lib/base/error.c
TRAIN_CUDA_CU := $(wildcard bench/train/cuda/*.cu)
TRAIN_CUDA_FLAGS = $(CPPFLAGS) -Ibench/train $(filter-out -fPIE -fPIC,$(CFLAGS)) -fPIC -fvisibility=hidden
NVCC_FLAGS = -std=c++17 -O3 $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) \
             -gencode arch=compute_$(lastword $(CUDA_ARCHS))$(comma)code=compute_$(lastword $(CUDA_ARCHS)) \
             -Xcompiler -fPIC,-fvisibility=hidden,-Wall

.PHONY: cuda
cuda: $(TRAIN_CUDA) ## dt-train's part for GPUs, where nvcc is (minutes; make install builds it, too)
	@$(if $(NVCC),:,echo "no nvcc (CUDA) here: dt-train is for CPUs alone")

$(BUILD)/obj/train-cuda/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TRAIN_CUDA_FLAGS) -isystem $(CUDA_HOME)/include $(DEPFLAGS) -c $< -o $@

$(BUILD)/obj/train-cuda/%.o: %.cu | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(CPPFLAGS) -Ibench/train $(NVCC_FLAGS) -MMD -MP -c $< -o $@

# RTLD_NOW of dt-train finds what is missing only on a machine with GPUs; here the linker does.
$(BUILD)/bin/dt-train-cuda.so: $(patsubst %.c,$(BUILD)/obj/train-cuda/%.o,$(TRAIN_CUDA_C)) \
    $(patsubst %.cu,$(BUILD)/obj/train-cuda/%.o,$(TRAIN_CUDA_CU))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(NVCC) -shared $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a)$(comma)code=sm_$(a)) -Xlinker -z,defs,-rpath,$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib64 $^ -lcublas -lnccl -o $@.new
	$(Q)mv $@.new $@

# The same with a CUDA that is the host's, for tests: kernels run thread by thread (tests/fake-cuda). dt-train finds it beside it.
FAKE_CUDA_OBJ := $(patsubst %.c,$(BUILD)/obj/fake-cuda/%.o,$(TRAIN_CUDA_C) $(wildcard tests/fake-cuda/*.c)) \
    $(patsubst %.cu,$(BUILD)/obj/fake-cuda/%.o,$(TRAIN_CUDA_CU)) $(patsubst %.cc,$(BUILD)/obj/fake-cuda/%.o,$(wildcard tests/fake-cuda/*.cc))
.PHONY: fake-cuda
fake-cuda: $(BUILD)/fake-cuda/dt-train-cuda.so $(BUILD)/fake-cuda/dt-train ## dt-train with a CUDA that needs no GPU, for tests
FAKE_CUDA_FLAGS = -DDT_CUDA_EMULATED -Itests/fake-cuda $(filter-out -std=gnu11 -Wstrict-prototypes -Wmissing-prototypes,$(TRAIN_CUDA_FLAGS)) \
    -Wno-unknown-pragmas -Wno-shadow
CXX ?= g++
$(BUILD)/obj/fake-cuda/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -DDT_CUDA_EMULATED -Itests/fake-cuda $(TRAIN_CUDA_FLAGS) $(DEPFLAGS) -c $< -o $@

$(BUILD)/obj/fake-cuda/%.o: %.cu | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) -x c++ -std=c++17 -fno-exceptions -fno-rtti $(FAKE_CUDA_FLAGS) $(DEPFLAGS) -c $< -o $@

$(BUILD)/obj/fake-cuda/%.o: %.cc | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) -std=c++17 -fno-exceptions -fno-rtti $(FAKE_CUDA_FLAGS) $(DEPFLAGS) -c $< -o $@

$(BUILD)/fake-cuda/dt-train-cuda.so: $(FAKE_CUDA_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(if $(SANITIZE),-fsanitize=$(SANITIZE),-Wl$(comma)-z$(comma)defs) $^ -lm -o $@

$(BUILD)/fake-cuda/dt-train: $(BUILD)/bin/dt-train
	@mkdir -p $(@D)
	$(Q)cp -f $< $@

$(BUILD)/localcluster/dt-personality: $(call obj,contrib/localcluster/personality.c) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

# Nodes that speak dt's protocol, many in each of a few processes: for tests/cli/gather.bats, bench/launch and bench/validate.
$(BUILD)/tools/crowd: $(call obj,$(wildcard tests/tools/crowd*.c)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

# Counts what a command starts: for tests/cli/validate.bats and bench/validate.
$(BUILD)/tools/starts: $(call obj,tests/tools/starts.c)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@

# A file system over a slow network: for tests/cli/launch-extras.bats and bench/launch/bench-prewarm.
$(BUILD)/tools/slow-fs: $(call obj,tests/tools/slow_fs.c)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@

# An NVML that answers from a file: for dt-validate --selftest, and for the nodes of the local cluster.
$(FAKE_NVML): $(wildcard launcher/fake-nvml/*.c launcher/fake-nvml/*.h)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -shared -Wl,-soname,libnvidia-ml.so.1 $(filter %.c,$^) -o $@

$(BUILD)/localcluster/libnvidia-ml.so.1: $(FAKE_NVML)
	@mkdir -p $(@D)
	@ln -sfn ../libexec/selftest/libnvidia-ml.so.1 $@

$(BUILD)/obj/tests/unit/test_spank%.o: CPPFLAGS += -I$(SLURM_PREFIX)/include

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -lcmocka $(GATHER_LIBS) -o $@

# Unit tests of the training core link its objects, all but main and MPI; test_train_double_* and what they link are the same
# source in double precision. (GNU make prefers the rule with the shortest stem to the general one above.)
TRAIN_CORE   := $(filter-out bench/train/main.c bench/train/comm_mpi%.c bench/train/comm_open.c,$(TRAIN_SRC))
TRAIN_DOUBLE := $(patsubst bench/train/%.c,$(BUILD)/obj/train-double/%.o,$(TRAIN_CORE))
TRAIN_FLAGS   = $(CPPFLAGS) -Ibench/train $(filter-out -O2,$(CFLAGS)) $(TRAIN_OPT) $(DEPFLAGS)

$(TRAIN_DOUBLE): $(BUILD)/obj/train-double/%.o: bench/train/%.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TRAIN_FLAGS) $(if $(SANITIZE),-O2) -DDT_TRAIN_DOUBLE -c $< -o $@

$(BUILD)/obj/tests/unit/test_train_%.o: tests/unit/test_train_%.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TRAIN_FLAGS) -c $< -o $@

$(BUILD)/obj/tests/unit/test_train_double_%.o: tests/unit/test_train_double_%.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TRAIN_FLAGS) -DDT_TRAIN_DOUBLE -c $< -o $@

$(BUILD)/unit/test_train_%: $(BUILD)/obj/tests/unit/test_train_%.o $(call obj,$(TRAIN_CORE)) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(TRAIN_OPT) $(LDFLAGS) $^ -lcmocka $(TRAIN_LIBS) -o $@

$(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_train_double_*.c)): \
    $(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(TRAIN_DOUBLE) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(TRAIN_OPT) $(LDFLAGS) $^ -lcmocka $(TRAIN_LIBS) -o $@

# test_train_kernels holds the emulated kernels to the CPU's, and test_train_double_kernels the same source in double.
EMULATED := $(BUILD)/obj/fake-cuda/tests/fake-cuda/fake_runtime.o
EMULATED_SRC := $(basename $(TRAIN_CUDA_CU) tests/fake-cuda/emulate.cc)
$(BUILD)/unit/test_train_kernels: $(EMULATED) $(EMULATED_SRC:%=$(BUILD)/obj/fake-cuda/%.o)
$(BUILD)/unit/test_train_double_kernels: $(EMULATED) $(EMULATED_SRC:%=$(BUILD)/obj/fake-cuda-double/%.o)
$(BUILD)/obj/tests/unit/test_train_kernels.o $(BUILD)/obj/tests/unit/test_train_double_kernels.o: \
    CPPFLAGS += -Ibench/train/cuda -Itests/fake-cuda

$(BUILD)/obj/fake-cuda-double/%.o: %.cu | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) -x c++ -std=c++17 -fno-exceptions -fno-rtti -DDT_TRAIN_DOUBLE $(FAKE_CUDA_FLAGS) $(DEPFLAGS) -c $< -o $@

$(BUILD)/obj/fake-cuda-double/%.o: %.cc | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) -std=c++17 -fno-exceptions -fno-rtti $(FAKE_CUDA_FLAGS) $(DEPFLAGS) -c $< -o $@

# dt.conf(5) is made from the commented dt.conf itself, so that the two can not differ.
$(BUILD)/man/dt.conf.5: configs/dt.conf docs/man/dt.conf.5.awk
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)awk -f docs/man/dt.conf.5.awk configs/dt.conf | scdoc > $@.new && mv $@.new $@

# The rules in words come from the rules file: RULES of dt-env(1), and docs/env-rules.md, which is kept in git to be read there
# (tests/cli/env.bats compares). A copy, as dt-env reads no file that others may write, and checkouts differ in that.
$(BUILD)/env-rules.conf: configs/env-rules.conf
	@mkdir -p $(@D); install -m 0644 $< $@

$(BUILD)/man/dt-env.1: docs/man/dt-env.1.scd $(BUILD)/env-rules.conf $(BUILD)/bin/dt-env
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)$(BUILD)/bin/dt-env rules --format scdoc $(BUILD)/env-rules.conf > $@.rules
	$(Q)sed -e '/^@RULES@$$/{r $@.rules' -e 'd}' $< | scdoc > $@.new && mv $@.new $@ && rm $@.rules

# Likewise the checks in words, from the registry in lib/check.
$(BUILD)/man/dt-validate.8: docs/man/dt-validate.8.scd $(BUILD)/bin/dt-validate
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)$(BUILD)/bin/dt-validate --list-scdoc > $@.checks
	$(Q)sed -e '/^@CHECKS@$$/{r $@.checks' -e 'd}' $< | scdoc > $@.new && mv $@.new $@ && rm $@.checks

.PHONY: docs
docs: $(BUILD)/env-rules.conf $(BUILD)/bin/dt-env ## write docs/env-rules.md anew from configs/env-rules.conf
	$(BUILD)/bin/dt-env rules $(BUILD)/env-rules.conf > docs/env-rules.md.new && mv docs/env-rules.md.new docs/env-rules.md

$(BUILD)/man/%: docs/man/%.scd
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)scdoc < $< > $@.new && mv $@.new $@

# ---- people's targets --------------------------------------------------------------------------
# The one place that knows package names, those that Debian 12 and 13 share (libpmix comes with
# openmpi-bin). Slurm's own packages are left out when the machine brings another Slurm (SLURM_PREFIX).
DEPS_BUILD := gcc make git pkg-config libc6-dev libjansson-dev libconfuse-dev libhwloc-dev libevent-dev libpcre2-dev \
              libopenmpi-dev scdoc
DEPS_SLURM := slurmctld slurmd slurm-client slurm-wlm-basic-plugins libslurm-dev munge
DEPS_RUN   := librsvg2-2 fonts-dejavu-core openmpi-bin libopenblas0-openmp iproute2 nftables util-linux procps faketime jq
DEPS_CHECK := g++ libcmocka-dev bats parallel python3-minimal clang clang-format clang-tidy libclang-rt-dev \
              shellcheck mandoc gawk hwloc-nox gdb valgrind numactl
DEPS := $(DEPS_BUILD) $(if $(filter /usr,$(SLURM_PREFIX)),$(DEPS_SLURM)) $(DEPS_RUN) $(DEPS_CHECK)

.PHONY: deps
deps: ## install what is missing, by Debian package name (root)
	@missing=$$(for p in $(DEPS); do \
	    [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || echo $$p; done); \
	[ -z "$$missing" ] && exit 0; \
	command -v apt-get >/dev/null || { echo "make deps: needs apt-get (Debian 12 or 13), or install by hand:" $$missing >&2; exit 1; }; \
	[ "$$(id -u)" = 0 ] || { echo "make deps: needs root to install:" $$missing >&2; exit 1; }; \
	echo "installing:" $$missing; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >$(or $(TMPDIR),/tmp)/dt-deps.log 2>&1 \
	    || { tail -n 20 $(or $(TMPDIR),/tmp)/dt-deps.log >&2; exit 1; }

.PHONY: demo
demo: deps ## boot a 4-node Slurm on this machine and run a validated training job (KEEP=1 leaves it up)
	@contrib/demo/demo $(if $(KEEP),--keep)

.PHONY: check check-unit check-cli check-cluster
check: deps ## build and run all tests (10 minutes at most on 2 cores)
	@$(MAKE) --no-print-directory -j$$(nproc) all fake-cuda
	@BUILD="$(BUILD)" tests/run unit cli cluster

check-unit check-cli check-cluster: check-%:
	@$(MAKE) --no-print-directory -j$$(nproc) all fake-cuda
	@BUILD="$(BUILD)" tests/run $*

# Not part of check: the machine is emulated, which takes one to two minutes, and needs packages of its own.
.PHONY: check-numa deps-numa
check-numa: $(BUILD)/libexec/dt-node $(SPANK) ## the task path on a real NUMA kernel, under qemu (make deps-numa first)
	@BUILD="$(BUILD)" tests/numa/run

DEPS_NUMA := qemu-system-x86 cpio
deps-numa: DEPS := $(DEPS_NUMA)
deps-numa: deps ## install what check-numa needs (root)

# Not part of check: several GB of Python packages, in a virtual environment of their own. VENV names it, so that checkouts may share one.
VENV ?= $(BUILD)/programs
.PHONY: check-programs deps-programs
check-programs: all ## PyTorch, JAX, Lightning, MPI programs: the same result as without dt-launch (make deps-programs first)
	@BUILD="$(BUILD)" VENV="$(VENV)" tests/programs/run

DEPS_PROGRAMS := python3-venv python3-torch
deps-programs: DEPS := $(DEPS_PROGRAMS)
deps-programs: deps ## install what check-programs needs (root)
	@VENV="$(VENV)" tests/programs/install

# Not part of check: takes minutes of both cores.
.PHONY: check-text deps-text
check-text: $(BUILD)/bin/dt-train ## dt-train learns English to a stated loss, and writes some (make deps-text first)
	@BUILD="$(BUILD)" tests/tools/train-text

DEPS_TEXT := bible-kjv
deps-text: DEPS := $(DEPS_TEXT)
deps-text: deps ## install the text of check-text (root)

.PHONY: unit-programs sanitized-programs
unit-programs: $(UNIT) $(FAKE_NVML)
sanitized-programs: $(BUILD)/bin/dt-train

FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 20
FUZZ_SEED    ?= 0 # 0: another one each time
FUZZ_FLAGS = $(CPPFLAGS) -std=gnu11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_LIB   := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(LIB_SRC))
$(BUILD)/fuzz/obj/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)clang $(FUZZ_FLAGS) -I$(SLURM_PREFIX)/include $(DEPFLAGS) -c $< -o $@

$(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o $(FUZZ_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)clang -fsanitize=fuzzer,address,undefined $^ $(LIB_LIBS) -o $@

$(BUILD)/fuzz/fuzz_fake_nvml: $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(wildcard launcher/fake-nvml/*.c))

.PHONY: fuzz
fuzz: $(FUZZ) ## run every fuzz target for FUZZ_SECONDS
	@for f in $(FUZZ); do n=$${f##*/}; mkdir -p $(BUILD)/fuzz/corpus-$$n; \
	    seeds=; [ -d tests/fuzz/corpus/$${n#fuzz_} ] && seeds=tests/fuzz/corpus/$${n#fuzz_}; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -seed=$(strip $(FUZZ_SEED)) -print_final_stats=0 -verbosity=0 -artifact_prefix=$(BUILD)/fuzz/ \
	        $(BUILD)/fuzz/corpus-$$n $$seeds >$(BUILD)/fuzz/$$n.log 2>&1 \
	        && echo "fuzz  $$n: no finding in $(FUZZ_SECONDS) s" || { tail -n 40 $(BUILD)/fuzz/$$n.log; exit 1; }; done

C_FILES  := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
SH_FILES := $(shell git ls-files 2>/dev/null | xargs -r grep -lIE '^.!/(usr/bin/env )?(ba)?sh' 2>/dev/null)
.PHONY: lint fmt
lint: ## formatting, static analysis, shell, man pages
	@$(MAKE) --no-print-directory all >/dev/null
	@clang-format --dry-run -Werror $(C_FILES) && echo "clang-format: ok ($(words $(C_FILES)) files)"
	@shellcheck -x $(SH_FILES) && echo "shellcheck: ok ($(words $(SH_FILES)) files)"
	@contrib/lint/tidy $(filter-out tests/% bench/train/peers/%,$(filter %.c,$(C_FILES)))
	@for m in $(MAN); do mandoc -T lint -W error $$m || exit 1; done; echo "man pages: ok"

fmt: ## format the C files
	clang-format -i $(C_FILES)

.PHONY: bench
bench: all ## what the plugin costs a launch, as ratios to bare srun in the same run
	@BUILD="$(BUILD)" bench/launch/bench-launch

.PHONY: bench-bind
bench-bind: $(BUILD)/bench/bench_bind $(BUILD)/unit/test_topology_corpus ## what a plan costs, beside mpibind where it is installed, over all machines
	@BUILD="$(BUILD)" bench/bind/bench-bind

$(BUILD)/bench/bench_bind: $(call obj,bench/bind/bench_bind.c) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIB_LIBS) -o $@

.PHONY: bench-comm
bench-comm: $(BUILD)/bench/bench_comm ## sums in dt-train's shared window, beside MPI_Allreduce and memcpy (2 ranks)
	@OMP_NUM_THREADS=1 mpirun -np 2 --allow-run-as-root --bind-to core --oversubscribe $<

$(BUILD)/bench/bench_comm: bench/comm/bench_comm.c $(call obj,$(filter-out bench/train/main.c,$(TRAIN_SRC))) $(LIBDT)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(MPICC) $(CPPFLAGS) -Ibench/train $(filter-out -O2,$(CFLAGS)) $(TRAIN_OPT) $(LDFLAGS) $^ $(TRAIN_LIBS) -o $@

.PHONY: bench-train
bench-train: $(BUILD)/bin/dt-train $(BUILD)/bench/bench_comm ## dt-train beside PyTorch (make deps-programs, or TORCH_PYTHON="command"), llm.c (LLMC=/path/to/llm.c) and itself; ROUNDS=7
	@BUILD="$(BUILD)" VENV="$(VENV)" LLMC="$(LLMC)" bench/train/bench-train

.PHONY: bench-launch
bench-launch: all ## dt-launch: start, end, restart, output, store with 10,000 clients, root cause, 64 nodes (as root); torchrun beside (make deps-programs)
	@BUILD="$(BUILD)" VENV="$(VENV)" bench/launch/bench-dt-launch
	@[ "$$(id -u)" -ne 0 ] || BUILD="$(BUILD)" VENV="$(VENV)" bench/launch/bench-start

.PHONY: bench-validate
bench-validate: all ## validation beside NHC's and gcm's (NHC=/path/to/nhc, GCM=/path/to/health_checks), and dt-gather with 10,000 nodes
	@BUILD="$(BUILD)" bench/validate/bench-validate

.PHONY: bench-env
bench-env: $(BUILD)/unit/test_env_corpus ## what the environment doctor says of public training scripts, and what the rules cost
	@$< --table

INSTALL ?= install
# dt-cluster works in the source tree and is not installed
INSTALL_MAN := $(filter-out %/dt-cluster.8,$(MAN))
.PHONY: install uninstall
# what a user types; the rest lies in libexec
COMMANDS := dt-launch dt-env dt-topo dt-validate dt-train
install: all cuda ## install under prefix (DESTDIR, libdir, sysconfdir); an edited dt.conf is kept
	$(INSTALL) -d "$(DESTDIR)$(bindir)" "$(DESTDIR)$(libexecdir)/dt" "$(DESTDIR)$(libdir)/slurm" "$(DESTDIR)$(datadir)/dt" \
	    "$(DESTDIR)$(sysconfdir)/dt" $(foreach s,1 5 7 8,"$(DESTDIR)$(mandir)/man$(s)")
	$(INSTALL) -m 0755 $(addprefix $(BUILD)/bin/,$(COMMANDS)) "$(DESTDIR)$(bindir)"
	$(INSTALL) -m 0755 $(BUILD)/libexec/dt-node $(BUILD)/libexec/dt-gather $(BUILD)/libexec/dt-drain $(BUILD)/libexec/dt-slurm \
	    $(TRAIN_CUDA) "$(DESTDIR)$(libexecdir)/dt"
	$(INSTALL) -d "$(DESTDIR)$(libexecdir)/dt/selftest"
	$(INSTALL) -m 0755 $(FAKE_NVML) "$(DESTDIR)$(libexecdir)/dt/selftest"
	$(INSTALL) -d "$(DESTDIR)$(libexecdir)/dt/shim"
	for s in $(SHIMS); do ln -srfn "$(DESTDIR)$(bindir)/dt-launch" "$(DESTDIR)$(libexecdir)/dt/shim/$$s"; done
	@# by rename: a running slurmd or srun may have the old one mapped
	$(INSTALL) -m 0644 $(SPANK) "$(DESTDIR)$(libdir)/slurm/.spank_dt.so.new"
	mv "$(DESTDIR)$(libdir)/slurm/.spank_dt.so.new" "$(DESTDIR)$(libdir)/slurm/spank_dt.so"
	$(INSTALL) -m 0644 configs/instances.conf configs/xid.conf configs/counters.conf configs/env-rules.conf configs/env-variables.conf \
	    "$(DESTDIR)$(datadir)/dt"
	sed 's,/usr/local/lib/slurm/,$(libdir)/slurm/,' configs/plugstack.conf > "$(DESTDIR)$(datadir)/dt/plugstack.conf"
	chmod 0644 "$(DESTDIR)$(datadir)/dt/plugstack.conf"
	[ -e "$(DESTDIR)$(sysconfdir)/dt/dt.conf" ] || $(INSTALL) -m 0644 configs/dt.conf "$(DESTDIR)$(sysconfdir)/dt"
	for m in $(INSTALL_MAN); do $(INSTALL) -m 0644 "$$m" "$(DESTDIR)$(mandir)/man$${m##*.}"; done
	$(INSTALL) -d "$(DESTDIR)$(datadir)/bash-completion/completions"
	for c in $(COMMANDS) $(SHIMS); do $(INSTALL) -m 0644 contrib/completion/dt "$(DESTDIR)$(datadir)/bash-completion/completions/$$c"; done

uninstall: ## remove what install put there; dt.conf only if it was not edited
	rm -f $(foreach c,$(COMMANDS),"$(DESTDIR)$(bindir)/$(c)") \
	    $(foreach c,$(COMMANDS) $(SHIMS),"$(DESTDIR)$(datadir)/bash-completion/completions/$(c)")
	rm -f "$(DESTDIR)$(libdir)/slurm/spank_dt.so"
	rm -rf "$(DESTDIR)$(libexecdir)/dt" "$(DESTDIR)$(datadir)/dt"
	cmp -s configs/dt.conf "$(DESTDIR)$(sysconfdir)/dt/dt.conf" && rm -f "$(DESTDIR)$(sysconfdir)/dt/dt.conf" || true
	rmdir "$(DESTDIR)$(sysconfdir)/dt" 2>/dev/null || true
	for m in $(notdir $(INSTALL_MAN)); do rm -f "$(DESTDIR)$(mandir)/man$${m##*.}/$$m"; done

.PHONY: clean dist help
clean: ## remove what was built
	rm -rf $(BUILD) dist

dist: ## source archive dist/dt-VERSION.tar.gz from the last commit
	@mkdir -p dist; v=$$(git describe --tags --always) && \
	git archive --prefix=dt-$$v/ HEAD | tar -x -C dist && echo "$$v" > dist/dt-$$v/VERSION && \
	tar -czf dist/dt-$$v.tar.gz -C dist --owner=0 --group=0 dt-$$v && rm -rf dist/dt-$$v && echo "dist/dt-$$v.tar.gz"

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

-include $(shell find $(BUILD)/obj $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)
