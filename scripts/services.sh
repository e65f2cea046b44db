#!/usr/bin/env bash
# Leaves the servers that the tests start for themselves installed. Nothing is started here and no
# server that runs already is used: each test run makes its own in a temporary directory.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh

has_postgresql() {
  have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

has_postgresql || step "install PostgreSQL, which the catalog's tests start" apt_install postgresql
have redis-server || step "install Redis, which the workers' tests start" apt_install redis-server
have chromium || have chromium-browser ||
  step "install Chromium, in which the page is tested" apt_install chromium
have npm || step "install npm, which fetches the accessibility checker" apt_install npm
