#!/usr/bin/env bash
# run.sh SERVER: the tests of the chat page, in headless Chromium against that program.
# They need node 20 or newer, npm with its packages (page/package-lock.json) and Debian's chromium.
set -euo pipefail

server=$1
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

skip() {
  echo "SKIPPED: $*"
  exit 0
}

command -v node >/dev/null || skip "there is no node"
[[ $(node -p 'process.versions.node.split(".")[0]') -ge 20 ]] || skip "node is older than 20"
command -v npm >/dev/null || skip "there is no npm"
[[ -x /usr/bin/chromium || -x /usr/bin/chromium-browser || -x /usr/bin/google-chrome ]] || skip "there is no chromium"

cd "$root/page"
# npm writes the inner file last.
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
  npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=20000 >&2 ||
    skip "npm could not fetch the packages of page/package-lock.json"
fi
exec node "$root/tests/page/run.mjs" "$server"
