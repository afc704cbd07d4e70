#!/usr/bin/env bash
# Puts mstore on the PATH of the steps that follow: the executable at MSTORE_ACTION_URL, if it is the one of
# MSTORE_ACTION_SHA256, or else what is built from the repository of the action.
set -euo pipefail

fail() {
  echo "::error title=mstore::$1"
  exit 1
}

url=${MSTORE_ACTION_URL:-}
sha256=${MSTORE_ACTION_SHA256:-}
temp=${RUNNER_TEMP:?is set by the runner}
programs=$temp/mstore-bin
store=$temp/mstore-store
mkdir -p "$programs" "$store"

if [ -n "$url" ]; then
  [[ $sha256 =~ ^[0-9a-f]{64}$ ]] ||
    fail 'An executable from an address needs its sha256, 64 digits of 0-9 and a-f: nothing else says which one it is'
  received=$(mktemp "$temp/mstore-XXXXXX")
  trap 'rm -f "$received"' EXIT
  curl --fail --silent --show-error --location --retry 3 --output "$received" "$url" ||
    fail "The executable cannot be had from $url"
  found=$(sha256sum "$received" | cut -d ' ' -f 1)
  [ "$found" = "$sha256" ] || fail "$url has the SHA-256 $found, not $sha256: it is not used"
  chmod 0755 "$received"
  mv "$received" "$programs/mstore"
elif [ -n "$sha256" ]; then
  fail 'A sha256 was given and no url'
else
  top=$(cd "${GITHUB_ACTION_PATH:?is set by the runner}/../../.." && pwd)
  command -v npm >/dev/null || fail 'mstore is built with Node.js and npm: set them up first, or name an executable with url and sha256'
  # The lock file names every package by its digest.
  (cd "$top" && npm ci --ignore-scripts --silent && npm run --silent build) ||
    fail 'mstore cannot be built: what npm said is above'
  ln -sf "$top/bin/mstore.js" "$programs/mstore"
fi

version=$("$programs/mstore" --version) || fail 'The program does not run on this machine'
echo "$programs" >>"${GITHUB_PATH:?is set by the runner}"
echo "MSTORE_STORE_PATH=$store" >>"${GITHUB_ENV:?is set by the runner}"
{
  echo "version=$version"
  echo "program=$programs/mstore"
  echo "store=$store"
} >>"${GITHUB_OUTPUT:?is set by the runner}"
echo "mstore $version"
