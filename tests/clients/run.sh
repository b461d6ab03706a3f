#!/usr/bin/env bash
# Real clients from npm against a real server.
#   run.sh install SOURCE WORK             installs the packages of SOURCE/package-lock.json in WORK, with the tests
#   run.sh test NAME WORK SERVER MODEL     runs WORK/NAME.test.mjs
# Prints "SKIPPED: <why>" where there is no Node.js, or no registry to install from.
set -euo pipefail

seconds=300 # for an installation
documents=$(cd -- "$(dirname -- "$0")/../../docs" && pwd)

skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 0
}

install() {
  local source=$1 work=$2
  command -v node >/dev/null && command -v npm >/dev/null || skip "there is no Node.js with npm here"
  [[ $(node -p 'process.versions.node.split(".")[0]') -ge 20 ]] || skip "the clients need Node.js 20, not $(node --version)"
  mkdir -p "$work"
  cp "$source"/*.mjs "$source"/package.json "$source"/package-lock.json "$documents/clients.md" "$work"
  ! cmp -s "$work/package-lock.json" "$work/installed" || return 0
  rm -f "$work/installed"
  cd "$work"
  timeout 30 npm ping >/dev/null 2>&1 </dev/null || skip "the registry of npm is out of reach"
  local status=0
  # The versions of the lock file, as `npm ci` has them, though a registry may lack builds for other platforms.
  timeout "$seconds" npm install --no-save --no-audit --no-fund --loglevel error </dev/null || status=$?
  [[ $status -ne 124 ]] || skip "the installation takes more than $seconds s"
  [[ $status -eq 0 ]] || exit "$status"
  cp "$source/package-lock.json" installed
}

run_test() {
  local name=$1 work=$2
  shift 2
  [[ -e $work/installed ]] || skip "the clients are not installed"
  cd "$work"
  exec node "$name.test.mjs" "$@"
}

case $1 in
  install) install "${@:2}" ;;
  test) run_test "${@:2}" ;;
  *) exit 2 ;;
esac
