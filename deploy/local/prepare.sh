# prepare.sh - sourced after settings.sh: makes under $RUN_DIR what the stores and daemons need before they start: secrets, .run/env,
# an initialised PostgreSQL, a formatted Kafka with its jars, configuration files. Everything is made once, whole or not at all.

umask 022
PREPARE=$ROOT/deploy/local

random_hex() { od -An -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# write_file <path> <mode>: standard input to a file that is never seen half written.
write_file() {
    (umask 077 && cat >"$1.new.$$") && chmod "$2" "$1.new.$$" && mv -f "$1.new.$$" "$1"
}

# ---- secrets: made once, kept until `make clean-data` -----------------------------------------------------------------

SCHEMA_OWNERS="auth user chat presence push match order notify game" # services with a schema: deploy/postgres/init.sql

prepare_secrets() {
    file=$RUN_DIR/secrets
    [ -e "$file" ] || : | write_file "$file" 600
    names="PG_OWNER_PASSWORD AUTH_SECRET FILES_SECRET ADMIN_PASSWORD DEMO_PASSWORD FRIENDS_PASSWORD"
    for owner in $SCHEMA_OWNERS; do
        names="$names PG_PASSWORD_$(echo "$owner" | tr a-z A-Z)"
    done
    missing=
    for name in $names; do
        grep -q "^$name=" "$file" && continue
        case $name in # people's passwords need a letter and a digit
        ADMIN_* | DEMO_* | FRIENDS_*) value=yard1-$(random_hex 8) ;;
        *) value=$(random_hex 32) ;;
        esac
        missing="$missing$name=$value
"
    done
    [ -z "$missing" ] || printf '%s%s' "$(sed '$a\' "$file" && echo .)" "$missing" | sed '/^\.$/d; s/^\.//' | write_file "$file" 600
    . "$file"
    PG_ROLE_PASSWORDS=
    for owner in $SCHEMA_OWNERS; do
        eval "password=\$PG_PASSWORD_$(echo "$owner" | tr a-z A-Z)"
        PG_ROLE_PASSWORDS="$PG_ROLE_PASSWORDS $owner=$password"
    done
    PG_ROLE_PASSWORDS=${PG_ROLE_PASSWORDS# }
    export PG_ROLE_PASSWORDS
    [ "$OWN_PG" = no ] || PG_URL=postgresql://postgres:$PG_OWNER_PASSWORD@127.0.0.1:$PG_PORT/madang
    export PG_URL
}

# The address of the database as role madang_<service>.
role_url() {
    eval "password=\$PG_PASSWORD_$(echo "$1" | tr a-z A-Z)"
    rest=${PG_URL#*://}
    echo "postgresql://madang_$1:$password@${rest#*@}"
}

# ---- .run/env: what scripts and people may rely on ----------------------------------------------------------------------

prepare_env() {
    for name in PG_PORT REDIS_PORT KAFKA_PORT KAFKA_CONTROLLER_PORT OWN_PG OWN_REDIS OWN_KAFKA PG_URL REDIS_URL KAFKA_BROKERS; do
        eval "printf \"%s='%s'\\n\" $name \"\$$name\""
    done | write_file "$RUN_DIR/settings" 600
    for name in GATEWAY_HOST GATEWAY_PORT SERVICE_PORT_BASE ADMIN_PORT_BASE PROFILE; do
        eval "printf \"%s='%s'\\n\" $name \"\$$name\""
    done | write_file "$RUN_DIR/settings.daemons" 600
    {
        echo "GATEWAY_URL=http://127.0.0.1:$GATEWAY_PORT"
        echo "GATEWAY_ADMIN_URL=http://127.0.0.1:$ADMIN_PORT_BASE"
        echo "PG_URL='$PG_URL'"
        echo "REDIS_URL='$REDIS_URL'"
        echo "KAFKA_BROKERS='$KAFKA_BROKERS'"
        echo "ADMIN_LOGIN=admin@madang.local"
        echo "ADMIN_PASSWORD=$ADMIN_PASSWORD"
        echo "DEMO_LOGIN=demo@madang.local"
        echo "DEMO_PASSWORD=$DEMO_PASSWORD"
        for owner in $SCHEMA_OWNERS; do
            echo "$(echo "$owner" | tr a-z A-Z)_DB_URL='$(role_url "$owner")'"
        done
    } | write_file "$RUN_DIR/env" 600
}

# ---- where the stores keep their data -----------------------------------------------------------------------------------

# $RUN_DIR/stores, unless the unprivileged user of the stores cannot get there (a checkout under /root): then a folder of /var/tmp with
# a name made from the path, and $RUN_DIR/stores is a link to it.
prepare_store_home() {
    STORE_HOME=$RUN_DIR/stores
    if [ ! -e "$STORE_HOME" ]; then
        rm -f "$STORE_HOME" # a link that leads nowhere: /var/tmp was swept
        mkdir "$STORE_HOME"
        if ! as_store_user test -x "$STORE_HOME"; then
            rmdir "$STORE_HOME"
            elsewhere=/var/tmp/madang-$(printf '%s' "$RUN_DIR" | sha256sum | cut -c1-16)
            # A folder of that name that is not ours was put there by somebody else.
            [ ! -e "$elsewhere" ] || [ "$(stat -c %u "$elsewhere")" = "$(id -u)" ] || die "$elsewhere belongs to somebody else"
            mkdir -p "$elsewhere"
            chmod 755 "$elsewhere"
            as_store_user test -x "$elsewhere" || die "the user $STORE_USER can reach neither $RUN_DIR nor $elsewhere"
            ln -s "$elsewhere" "$STORE_HOME"
        fi
    fi
    STORE_HOME=$(readlink -f "$STORE_HOME")
    export STORE_HOME
}

# own_folder <path>: a folder of the stores' user, closed to others.
own_folder() {
    [ -d "$1" ] || mkdir "$1"
    chmod 700 "$1"
    [ -z "$STORE_USER" ] || chown "$STORE_USER:$(id -g "$STORE_USER")" "$1"
}

# ---- PostgreSQL -----------------------------------------------------------------------------------------------------------

# The newest server of Debian's layout; existing data decide themselves.
find_postgres() {
    version=$(as_store_user cat "$STORE_HOME/postgres/PG_VERSION" 2>/dev/null || ls /usr/lib/postgresql 2>/dev/null | sort -n | tail -1)
    PG_BIN=/usr/lib/postgresql/$version/bin
    [ -x "$PG_BIN/postgres" ] && [ "$version" -ge 15 ] ||
        die "PostgreSQL ${version:-15} is needed in /usr/lib/postgresql (data made by another version go with \`make clean-data\`)"
    export PG_BIN
}

prepare_postgres() {
    find_postgres
    data=$STORE_HOME/postgres
    if [ ! -e "$data" ]; then
        rm -rf "$data.new"
        own_folder "$data.new"
        (umask 077 && printf '%s\n' "$PG_OWNER_PASSWORD" >"$STORE_HOME/password.new")
        [ -z "$STORE_USER" ] || chown "$STORE_USER" "$STORE_HOME/password.new"
        (cd / && as_store_user "$PG_BIN/initdb" -D "$data.new" -U postgres --pwfile="$STORE_HOME/password.new" --auth=scram-sha-256 \
            --encoding=UTF8 --locale=C.UTF-8 >"$RUN_DIR/initdb.log" 2>&1) || { cat "$RUN_DIR/initdb.log" >&2; die "initdb failed"; }
        rm -f "$STORE_HOME/password.new" "$RUN_DIR/initdb.log"
        mv "$data.new" "$data"
    fi
    sed "s/@PORT@/$PG_PORT/" "$ROOT/deploy/postgres/postgresql.conf.in" | write_file "$STORE_HOME/postgresql.conf" 644
    write_file "$STORE_HOME/pg_hba.conf" 644 <"$ROOT/deploy/postgres/pg_hba.conf"
}

# ---- Redis ----------------------------------------------------------------------------------------------------------------

prepare_redis() {
    command -v redis-server >/dev/null || die "redis-server is needed (deploy/local/install.sh)"
    own_folder "$STORE_HOME/redis"
    # Nothing here needs to outlive a restart: the registry fills again in seconds, counters start anew.
    write_file "$STORE_HOME/redis.conf" 644 <<END
bind 127.0.0.1
port $REDIS_PORT
dir $STORE_HOME/redis
daemonize no
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
END
}

# ---- Kafka ----------------------------------------------------------------------------------------------------------------

# Jars from Maven Central into the cache, once per version of the pom.
fetch_kafka() {
    lib=$CACHE_DIR/kafka/lib
    cmp -s "$ROOT/deploy/kafka/pom.xml" "$lib/pom.xml" && return
    command -v mvn >/dev/null || die "Maven is needed to fetch Kafka; KAFKA_BROKERS=host:port uses a broker that runs elsewhere"
    say "fetching Kafka from Maven Central (44 MB, once)"
    rm -rf "$lib" "$lib.new"
    mvn -q -B -f "$ROOT/deploy/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib.new" -DincludeScope=runtime \
        >"$RUN_DIR/maven.log" 2>&1 || {
        cat "$RUN_DIR/maven.log" >&2
        die "Maven could not fetch Kafka; KAFKA_BROKERS=host:port uses a broker that runs elsewhere"
    }
    rm -f "$RUN_DIR/maven.log"
    cp "$ROOT/deploy/kafka/pom.xml" "$lib.new/"
    chmod -R a+rX "$lib.new"
    mv "$lib.new" "$lib"
}

prepare_kafka() {
    command -v java >/dev/null || die "Java 17 is needed for Kafka; KAFKA_BROKERS=host:port uses a broker that runs elsewhere"
    mkdir -p "$CACHE_DIR/kafka"
    {
        flock 8 # the cache is shared by every RUN_DIR of this checkout
        fetch_kafka
    } 8>"$CACHE_DIR/kafka/lock"
    KAFKA_LIB=$CACHE_DIR/kafka/lib
    if ! as_store_user test -r "$KAFKA_LIB/pom.xml"; then # under /root: the stores' user needs a copy
        cmp -s "$KAFKA_LIB/pom.xml" "$STORE_HOME/kafka-lib/pom.xml" || {
            rm -rf "$STORE_HOME/kafka-lib" "$STORE_HOME/kafka-lib.new"
            cp -r "$KAFKA_LIB" "$STORE_HOME/kafka-lib.new"
            mv "$STORE_HOME/kafka-lib.new" "$STORE_HOME/kafka-lib"
        }
        KAFKA_LIB=$STORE_HOME/kafka-lib
    fi
    export KAFKA_LIB
    data=$STORE_HOME/kafka
    write_file "$STORE_HOME/log4j2.xml" 644 <"$ROOT/deploy/kafka/log4j2.xml"
    server_properties "$data" | write_file "$STORE_HOME/server.properties" 644
    if [ ! -e "$data" ]; then
        rm -rf "$data.new"
        own_folder "$data.new"
        server_properties "$data.new" | write_file "$STORE_HOME/format.properties" 644
        # 16 random bytes in base64 without padding; a leading '-' would look like an option
        id=$(head -c16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22)
        (cd / && as_store_user java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$STORE_HOME/log4j2.xml" \
            -Dkafka.logs.dir="$data.new" -cp "$KAFKA_LIB/*" kafka.tools.StorageTool format -t "$id" -c "$STORE_HOME/format.properties" \
            >"$RUN_DIR/format.log" 2>&1) || { cat "$RUN_DIR/format.log" >&2; die "Kafka's data folder could not be formatted"; }
        rm -f "$STORE_HOME/format.properties" "$RUN_DIR/format.log"
        mv "$data.new" "$data"
    fi
}

server_properties() {
    sed "s|@PORT@|$KAFKA_PORT|; s|@CONTROLLER_PORT@|$KAFKA_CONTROLLER_PORT|; s|@DATA@|$1|" "$ROOT/deploy/kafka/server.properties.in"
}

# ---- all of it ------------------------------------------------------------------------------------------------------------

prepare() {
    mkdir -p "$RUN_DIR"
    {
        flock 9 # several callers at once: one prepares, the others find it done
        prepare_secrets
        is_up daemons || prepare_env
        if ! is_up stores; then
            prepare_store_home
            [ "$OWN_PG" = no ] || prepare_postgres
            [ "$OWN_REDIS" = no ] || prepare_redis
            [ "$OWN_KAFKA" = no ] || prepare_kafka
        fi
    } 9>"$RUN_DIR/prepare.lock"
}
