#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the programs and the engine's image, publishes it to the registry that the providers name (ECR), and scans it: exit status 3
# where a critical or high vulnerability is open. The workspace is ./.redoubt or $REDOUBT_WORKSPACE; 'redoubt init' makes one.
# REDOUBT_BUILD names a folder with programs that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."
providers=${1:-config/providers.aws.yaml}
case "$providers" in
  -h | --help) echo "usage: scripts/build_and_push.sh [PROVIDERS.yaml]"; exit 0 ;;
esac
[ -f "$providers" ] || { echo "build_and_push: there is no file $providers" >&2; exit 2; }
[ -n "${REDOUBT_BUILD:-}" ] || ./scripts/build
redoubt=${REDOUBT_BUILD:-$PWD/build}/redoubt
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

built=$("$redoubt" --json --providers "$providers" image build)
tag=$(field tag <<<"$built")
"$redoubt" --providers "$providers" image scan "$tag" >&2
echo "$tag $(field digest <<<"$built")"
