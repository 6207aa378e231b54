#!/bin/sh
# fill.sh - what the stores need before the first daemon: schemas and roles in PostgreSQL, topics in Kafka, side by side. Run by the supervisor
# when all of them answer. Safe to repeat.
set -eu
cd "$(dirname "$0")/../.."
"$BUILD/bin/madang-supervise" topics &
deploy/postgres/init.sh
wait $! || echo "madang: the topics are left to the daemons" >&2 # each makes what it misses
