#!/bin/sh
# trace.sh - make trace: which test shows which requirement. See trace.mjs.
exec node "$(dirname "$0")/trace.mjs" "$@"
