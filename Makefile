# Everything a newcomer or CI runs. All of it happens in a virtual environment of its own; README.md names what apt must bring.
VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  := python3
N       := 200000
DTLS    := 100000
JOBS    := 2
RUNNING := $(VENV)/.installed
TESTING := $(VENV)/.installed-for-tests
PLUGINS := plugins/mqtt
SOURCES := setup.cfg setup.py pyproject.toml lwm2md/coap/_places.c lwm2md/net/_batch.c $(PLUGINS:%=%/setup.cfg)

.PHONY: run foreign-device test lint bench million day month return fuzz torture clean

# With MQTT=mqtt://HOST the daemon is connected to that broker, too.
run: $(RUNNING)
	@./etc/demo $(BIN) $(MQTT)

# A device that others wrote, Eclipse Leshan's, for the daemon of `make run`.
foreign-device: $(TESTING)
	$(BIN)/python -m tests.peers.leshan_client coap://127.0.0.1:5683 leshan-1

test: $(TESTING)
	$(BIN)/python -m tests.peers.install
	$(BIN)/python -m twisted.trial -j $(JOBS) tests

lint: $(TESTING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict lwm2md tests bench tools examples/*.py examples/doorbell/*.py $(foreach plugin,$(PLUGINS),$(plugin)/lwm2md_$(notdir $(plugin)))

bench: $(TESTING)
	$(BIN)/python -m bench.run
	$(BIN)/python -m bench.formats
	$(BIN)/python -m bench.mqtt
	$(BIN)/python -m bench.records
	$(BIN)/python -m bench.secure

# A daemon with a million registered devices: some minutes and 2 GB of memory.
million: $(TESTING)
	$(BIN)/python -m bench.run million

# A hundred thousand devices that come back at once, in virtual time.
return: $(TESTING)
	$(BIN)/python -m tests.server.returning 100000

# A simulated month of a fleet's traffic, and the size of the database day by day.
month: $(TESTING)
	$(BIN)/python -m tests.storage.month

# A simulated day of a thousand sleeping devices behind NAT.
day: $(TESTING)
	$(BIN)/python -m tests.server.day 1000

fuzz: $(TESTING)
	$(BIN)/python -m tests.fuzz --count $(N)
	$(BIN)/python -m tests.fuzz.dtls --count $(DTLS)

# N kills, each second run as power cuts; SEED=S says again what an earlier run did, with DTLS=1 the fleet speaks DTLS.
torture: KILLS := $(if $(filter-out file,$(origin N)),$(N),100)
torture: HOW := $(if $(SEED),--seed $(SEED)) $(if $(filter-out file,$(origin DTLS)),--dtls)
torture: $(TESTING)
	$(BIN)/python -m tests.torture --kills $(KILLS) --mqtt $(HOW)
	$(BIN)/python -m tests.torture --kills $(KILLS) --power $(HOW)

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .hypothesis .mypy_cache .ruff_cache lwm2md-state twisted/plugins/dropin.cache lwm2md/*/*.so plugins/*/build plugins/*/*.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Editable: what is edited is what runs. The stamp is newer than what says what to install, or it is made again.
$(RUNNING): $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . $(PLUGINS:%=--editable ./%)
	touch $@

$(TESTING): $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]' $(PLUGINS:%=--editable ./%)
	touch $@ $(RUNNING)
