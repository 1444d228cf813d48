# `make run` serves, `make test` tests. Both set up what they need; PYTHON chooses the interpreter.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifeq ($(VERSION),)
$(error $(PYTHON) cannot be run; name Python 3.11 or newer, for example: make run PYTHON=python3.13)
endif
VENV ?= .venv/$(VERSION)
PY := $(VENV)/bin/python
ifeq ($(strip $(HABSIM_DATA_DIR)),)
HABSIM_DATA_DIR := data
endif
BUCKET := $(HABSIM_DATA_DIR)/bucket
export HABSIM_DATA_DIR

.PHONY: run worker admin migrate backup page check-page chromium postgresql setup setup-dev setup-downloader setup-elevation demo download convert elevation test check bench soak clean

run: setup
	@$(MAKE) --no-print-directory page || echo "The API runs without the map page; / says how to get it."
	@test -n "$$HABSIM_BUCKET_DIR$$S3_BUCKET_NAME" || $(PY) -m scripts.demo_cycle --bucket $(BUCKET) --if-needed
	@exec $(PY) -m scripts.serve

# A worker of its own, on this machine or any other with the same DATABASE_URL and bucket.
worker: setup
	@exec $(PY) worker.py

# Asks for a name and a password, or takes HABSIM_ADMIN_USERNAME and HABSIM_ADMIN_PASSWORD.
admin: setup
	@$(PY) -m scripts.make_admin

migrate: setup
	@$(PY) -m scripts.database migrate

# For example: make backup TO=/backups/missions.sqlite
backup: setup
	@test -n "$(TO)" || { echo 'make backup needs TO=file'; exit 2; }
	@$(PY) -m scripts.database backup $(TO)

setup: $(VENV)/service.stamp $(HABSIM_DATA_DIR)/elevation.npz

setup-downloader: $(VENV)/service.stamp $(VENV)/downloader.stamp

setup-elevation: $(VENV)/service.stamp $(VENV)/elevation.stamp

page: www/dist/index.html

www/dist/index.html: www/package-lock.json www/vite.config.ts www/index.html www/missions.html $(filter-out www/src/schema.d.ts,$(wildcard www/src/* www/src/missions/*)) | $(PY)
	@$(PY) -m scripts.build_page

setup-dev: setup $(VENV)/dev.stamp

demo: setup
	@$(PY) -m scripts.demo_cycle --bucket $(BUCKET)

# For example: make download PRODUCT=full MODE=daemon STORE=s3
download: setup-downloader
	@$(PY) -m scripts.auto_downloader $(if $(MODE),--mode $(MODE)) $(if $(CYCLE),--cycle $(CYCLE)) \
		$(if $(PRODUCT),--product $(PRODUCT)) $(if $(MEMBERS),--members $(MEMBERS)) \
		$(if $(MAX_HOURS),--max-hours $(MAX_HOURS)) $(if $(STORE),--store $(STORE)) $(if $(KEEP),--keep $(KEEP))

# For example: make convert FILES="gfs.grib2" TO=data/gfs STEADY_HOURS=24
convert: setup-downloader
	@test -n "$(FILES)" -a -n "$(TO)" || { echo 'make convert needs FILES="..." and TO=folder'; exit 2; }
	@$(PY) -m scripts.convert_grib $(FILES) --bucket $(TO) $(if $(MEMBER),--member $(MEMBER)) \
		$(if $(STEADY_HOURS),--steady-hours $(STEADY_HOURS))

# For example: make elevation TILES=gmted2010/ TO=worldelev.npy
elevation: setup setup-elevation
	@test -n "$(TILES)" -a -n "$(TO)" || { echo 'make elevation needs TILES="..." and TO=file'; exit 2; }
	@$(PY) -m scripts.build_elevation $(TILES) --output $(TO)

test: setup-dev check check-page page chromium postgresql
	$(PY) -m pytest -n 2 --dist worksteal

check: setup-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	@# import-linter reads packages only: each room that is a single file is shown to it as one.
	@rm -rf .house && mkdir .house && for file in *.py; do mkdir .house/$${file%.py} \
		&& ln -s ../../$$file .house/$${file%.py}/__init__.py; done && ln -s ../api ../scripts ../habsim ../store ../forecasts ../missions .house/
	cd .house && $(abspath $(VENV))/bin/lint-imports --config ../pyproject.toml

check-page: setup-dev
	@$(VENV)/bin/flask --app app:create_app openapi -o www/openapi.json >/dev/null 2>&1
	@$(PY) -m scripts.build_page check test

# The tests of the page in a browser are skipped where this has none to offer.
chromium:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& echo "Installing Chromium for the tests of the page" && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
		|| echo "There is no Chromium: the tests of the page in a browser are skipped"

# The tests of the database on PostgreSQL are skipped where this has none to offer.
postgresql:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& echo "Installing PostgreSQL for the tests of the database" && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } \
		|| echo "There is no PostgreSQL: the tests of the database on it are skipped"

bench: setup-dev page
	@$(PY) -m bench

soak: setup-dev
	$(PY) -m pytest -m soak -p no:xdist

$(PY):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("HABSIM needs Python 3.11 or newer, this is %s; name one with: make run PYTHON=python3.13" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/service.stamp: requirements.txt requirements-elevation.txt | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-elevation.txt
	@touch $@

$(VENV)/downloader.stamp: requirements-downloader.txt | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-downloader.txt
	@touch $@

$(VENV)/elevation.stamp: requirements-elevation-tools.txt $(VENV)/service.stamp
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-elevation-tools.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements-dask.txt requirements-downloader.txt requirements-elevation-tools.txt $(VENV)/service.stamp
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(HABSIM_DATA_DIR)/elevation.npz: | $(VENV)/service.stamp
	@$(PY) -m scripts.default_elevation $@

clean:
	rm -rf www/node_modules www/dist www/openapi.json www/src/schema.d.ts
	rm -rf .venv .house .test-artefacts .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +
