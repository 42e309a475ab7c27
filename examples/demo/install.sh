#!/bin/sh
# The step "install" of the demo as a shell script: installs a version on one node, and puts the old one back where the new one does not start.
#   install.sh VERSION
# cogwork runs it as a command Job: which node it is for stands in COGWORK_TARGET, what it says on its error output becomes the attempt's
# log, its last line of output what the Job returns, and its exit status how the attempt ended.
set -eu
version=$1
node=$COGWORK_TARGET
no_retry=65 # the Job's no_retry_codes

wait_until_healthy() { # the Job's timeout ends it
  until fleetctl healthy "$node" 2>/dev/null; do sleep 0.05; done
}

before=$(fleetctl version "$node")
echo "$node: stopping $before" >&2
if ! fleetctl replace "$node" "$version"; then
  fleetctl replace "$node" "$before"
  wait_until_healthy
  fleetctl put-back "$node"
  echo "$before serves again" >&2
  exit $no_retry
fi
echo "$node: $version is warming up" >&2
wait_until_healthy
echo "$before -> $version"
