#!/bin/sh
# demo.sh - people to play with, made through the public API like anybody else: an administrator, a demo user, four friends of hers.
# What is there already stays as it is, so it may run any number of times. DEMO=off makes nobody. Ends by saying where everything is.
# Environment: .run/env and .run/secrets (stack.sh sources them), RUN_DIR, BUILD.
set -eu

DONE=$RUN_DIR/demo.done
ADMIN_LOGIN=${ADMIN_LOGIN:-admin@madang.local}
DEMO_LOGIN=${DEMO_LOGIN:-demo@madang.local}
FRIENDS="mina juno haru sora"
WAIT_SECONDS=90 # a code is sent again once a minute at most
reply=$(mktemp "$RUN_DIR/.demo.XXXXXX")
trap 'rm -f "$reply"' EXIT

die() { echo "demo data: $*" >&2; [ ! -s "$reply" ] || { head -c 500 "$reply"; echo; } >&2; exit 1; }

# call <method> <path> [token] [json]: the status; the body stands in $reply. Secrets go by standard input, not by arguments (ps).
call() {
    {
        [ -z "${3:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$3"
        [ -z "${4:-}" ] || printf 'header = "Content-Type: application/json"\ndata = "%s"\n' "$(printf '%s' "$4" | sed 's/["\\]/\\&/g')"
    } | curl -sS -K - -m 20 -o "$reply" -w '%{http_code}' -X "$1" "$GATEWAY_URL$2" || echo 000
}

# text <member>: the first text member of that name in $reply.
text() { grep -o "\"$1\" *: *\"[^\"]*\"" "$reply" | head -n 1 | sed 's/.*: *"\(.*\)"$/\1/'; }

# log_in <address> <password>: sets token and id; false for a person who is not there.
log_in() {
    status=$(call POST /api/auth/login '' "{\"login\":\"$1\",\"password\":\"$2\",\"device_name\":\"demo data\"}")
    case $status in
    200) token=$(text access_token) id=$(text id) ;;
    401) return 1 ;;
    *) die "$1 cannot log in: status $status" ;;
    esac
}

# person <address> <password> <nickname> <handle>: signs up who is not there, and logs in.
person() {
    log_in "$1" "$2" && return
    status=$(call POST /api/auth/signup '' "{\"email\":\"$1\",\"password\":\"$2\",\"nickname\":\"$3\",\"handle\":\"$4\"}")
    [ "$status" = 201 ] || die "$1 cannot sign up: status $status (made with another password? \`make clean-data\` forgets everybody)"
    log_in "$1" "$2" || die "$1 signed up and cannot log in"
}

# The newest code that was sent to an address.
code_of() {
    "$BUILD/bin/madang-inbox" "$1" | sed -n 's/.*"code":"\([0-9]*\)".*/\1/p' | head -n 1
}

# Proves the address of who is logged in by the code that was sent there.
verify() {
    until=$(($(date +%s) + WAIT_SECONDS)) asked=0 tried=
    while [ "$(date +%s)" -lt $until ]; do
        if [ $(($(date +%s) - asked)) -ge 20 ]; then
            asked=$(date +%s)
            status=$(call POST /api/auth/codes '' "{\"purpose\":\"verify_email\",\"email\":\"$1\"}")
            [ "$status" = 202 ] || die "no code for $1: status $status"
        fi
        code=$(code_of "$1")
        if [ -n "$code" ] && [ "$code" != "$tried" ]; then
            tried=$code
            status=$(call POST /api/auth/codes/confirm "$token" "{\"purpose\":\"verify_email\",\"email\":\"$1\",\"code\":\"$code\"}")
            [ "$status" = 200 ] && return
        fi
        sleep 0.2
    done
    die "the address $1 could not be verified"
}

# befriend <token> <id> <token of the other> <id of the other>: both ask, which makes them friends.
befriend() {
    ask "$1" "$4"
    ask "$3" "$2"
}

# A person who signed up a moment ago may not be known everywhere yet.
ask() {
    until=$(($(date +%s) + 20))
    while :; do
        status=$(call PUT "/api/friends/requests/$2" "$1")
        case $status in
        200 | 201) return ;;
        409) [ "$(text code)" != already_friends ] || return 0 ;;
        esac
        [ "$(date +%s)" -lt $until ] || die "a friend request failed: status $status"
        sleep 0.2
    done
}

is_made() {
    [ -e "$DONE" ] && [ "$(call GET "/api/auth/availability?email=$DEMO_LOGIN")" = 200 ] && grep -q '"email" *: *false' "$reply"
}

make_people() {
    person "$ADMIN_LOGIN" "$ADMIN_PASSWORD" admin admin
    if [ "$(text role)" != admin ]; then
        verify "$ADMIN_LOGIN"
        call POST /api/auth/logout "$token" '{}' >/dev/null
        log_in "$ADMIN_LOGIN" "$ADMIN_PASSWORD" || die "the administrator cannot log in"
        [ "$(text role)" = admin ] || die "$ADMIN_LOGIN did not become an administrator"
    fi
    tokens=$token
    person "$DEMO_LOGIN" "$DEMO_PASSWORD" demo demo
    demo_token=$token demo_id=$id tokens="$tokens $token"
    for name in $FRIENDS; do
        person "$name@madang.local" "$FRIENDS_PASSWORD" "$name" "$name"
        tokens="$tokens $token"
        befriend "$token" "$id" "$demo_token" "$demo_id"
    done
    for token in $tokens; do # the sessions were for this only
        call POST /api/auth/logout "$token" '{}' >/dev/null
    done
    : >"$DONE"
}

if [ "${DEMO:-on}" != off ]; then
    is_made || make_people
fi

cat <<END

Madang is up.
  gateway    $GATEWAY_URL
  registry   $GATEWAY_ADMIN_URL/registry
END
[ ! -e "$DONE" ] || cat <<END
  demo       $DEMO_LOGIN  $DEMO_PASSWORD
  admin      $ADMIN_LOGIN  $ADMIN_PASSWORD
  friends    $(echo "$FRIENDS" | sed 's/[a-z]*/&@madang.local/g')  $FRIENDS_PASSWORD
END
cat <<END
  make status, make inbox TO=$DEMO_LOGIN, make down; addresses for scripts: $RUN_DIR/env
END
