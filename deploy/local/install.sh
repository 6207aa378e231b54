#!/bin/sh
# install.sh [run] [test] [bench] [browser] [images] - installs from Debian's packages (12 or later) what these need and the machine lacks; as root or by sudo.
# Quick when nothing is missing. Servers that come along are neither started now nor at the next boot; servers that were here
# before are left alone. No Java with KAFKA_BROKERS, no Redis with REDIS_URL, no PostgreSQL server with PG_URL.
set -eu

# group package                     a command that does as well (-: none)
TABLE='
run     gcc                         -
run     libc6-dev                   -
run     make                        make
run     pkg-config                  pkg-config
run     curl                        curl
run     passwd                      useradd
run     util-linux                  flock
run     libmicrohttpd-dev           -
run     libwebsockets-dev           -
run     librdkafka-dev              -
run     libhiredis-dev              -
run     libpq-dev                   -
run     libcjson-dev                -
run     libjwt-dev                  -
run     libcurl4-openssl-dev        -
run     libssl-dev                  -
run     libargon2-dev               -
run     libutf8proc-dev             -
run     postgresql                  -
run     postgresql-client           psql
run     redis-server                redis-server
run     default-jre-headless        java
run     maven                       mvn
test    clang                       clang
test    libclang-rt-dev             -
test    libc6-dbg                   -
test    clang-format                clang-format
test    clang-tidy                  clang-tidy
test    valgrind                    valgrind
test    nodejs                      node
test    npm                         npm
test    jq                          jq
test    kcat                        kcat
test    redis-tools                 redis-cli
test    gdb                         gdb
test    iproute2                    ss
test    python3-aiosmtpd            -
test    prometheus                  promtool
test    prometheus-alertmanager     amtool
test    docker-compose              docker-compose
test    kubernetes-client           kubectl
bench   haproxy                     haproxy
bench   nginx                       nginx
bench   wrk                         wrk
bench   linux-perf                  perf
browser chromium                    chromium
browser fonts-noto-cjk              -
images  buildah                     buildah
images  debootstrap                 debootstrap
'
SERVERS="postgresql redis-server haproxy nginx prometheus prometheus-alertmanager" # packages whose install would start a server of the same name
JAVA_MIN=17

die() { echo "install.sh: $*" >&2; exit 1; }

# A server that is used elsewhere need not be here.
is_needed() {
    case $1 in
    postgresql) [ -z "${PG_URL:-}" ] || [ -d "${RUN_DIR:-.run}/stores/postgres" ] ;;
    redis-server) [ -z "${REDIS_URL:-}" ] || [ -d "${RUN_DIR:-.run}/stores/redis" ] ;;
    default-jre-headless | maven) case "$groups" in *" test "*) return 0 ;; esac # the tests read Kubernetes' objects with it
        [ -z "${KAFKA_BROKERS:-}" ] || [ -d "${RUN_DIR:-.run}/stores/kafka" ] ;;
    esac
}

has_command() {
    path=$(command -v "$1") || return 1
    [ "$1" = java ] || return 0
    release=$(dirname "$(dirname "$(readlink -f "$path")")")/release # quicker than asking the machine itself
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$release" 2>/dev/null)
    [ "${version:-$JAVA_MIN}" -ge $JAVA_MIN ]
}

# Packages of the wanted groups that are neither installed nor made needless by a command.
find_missing() {
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
    echo "$TABLE" | while read -r group package command; do
        case " $groups " in *" ${group:-none} "*) ;; *) continue ;; esac
        is_needed "$package" || continue
        case "
$installed
" in *"
$package
"*) continue ;; esac
        [ "$command" != - ] && has_command "$command" && continue
        echo "$package"
    done
}

# As root: apt, with a policy that starts nothing; then what was new is kept from starting at boot.
install_packages() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    status=0
    apt-get install -q -y --no-install-recommends "$@" || status=$?
    for server in $SERVERS; do
        case " $* " in *" $server "*)
            # What is not known here (no systemd, an install that failed before it) need not be turned off.
            update-rc.d "$server" disable >/dev/null 2>&1 || :
            ! command -v systemctl >/dev/null || systemctl disable --now "$server" >/dev/null 2>&1 || : ;;
        esac
    done
    return $status
}

# Started by root the stores run as a plain user of their own.
make_user() {
    [ "$(id -u)" != 0 ] || [ -n "${STORE_USER:-}" ] || id -u madang >/dev/null 2>&1 ||
        useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin madang
}

if [ "${1:-}" = --packages ]; then # the part that runs as root
    shift
    install_packages "$@"
    exit
fi

groups=" run $* " # tests and benchmarks need what runs, too
if ! command -v dpkg-query >/dev/null; then
    echo "install.sh: not a Debian: nothing installed; deploy/local/install.sh lists what is needed" >&2
    exit 0
fi
missing=$(find_missing)
[ -n "$missing" ] || { make_user; exit 0; }
echo "installing: $(echo $missing)"
if [ "$(id -u)" = 0 ]; then
    install_packages $missing
elif command -v sudo >/dev/null; then
    sudo "$0" --packages $missing
else
    die "as root: apt-get install $(echo $missing)"
fi
still=$(find_missing)
[ -z "$still" ] || die "still missing after the installation: $(echo $still)"
make_user
