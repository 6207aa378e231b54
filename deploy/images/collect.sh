#!/bin/sh
# collect.sh BIN OUT - for each daemon in BIN a folder OUT/<daemon>: what stands in its image. The program is /daemon; libraries keep the places where the loader looks for them.
set -eu
bin=$1 out=$2

# copy <folder> <file>: with its folders; links become what they point to.
copy() {
    mkdir -p "$1$(dirname "$2")"
    cp -L "$2" "$1$2"
}

libraries() { ldd "$1" | grep -o '/[^ ]*'; }

for program in "$bin"/gateway "$bin"/*-svc; do
    root=$out/$(basename "$program")
    mkdir -p "$root/tmp" "$root/data"
    chmod 1777 "$root/tmp" "$root/data"
    cp "$program" "$root/daemon"
    strip "$root/daemon"
    for library in $(libraries "$program"); do copy "$root" "$library"; done
    # Not linked, but loaded: the event loop of libwebsockets.
    if libraries "$program" | grep -q libwebsockets; then
        for plugin in /usr/lib/*/libwebsockets-evlib_ev.so; do
            copy "$root" "$plugin"
            for library in $(libraries "$plugin"); do copy "$root" "$library"; done
        done
    fi
    copy "$root" /etc/ssl/certs/ca-certificates.crt
    copy "$root" /etc/ssl/openssl.cnf
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    echo 'madang:x:65532:65532::/:/none' >"$root/etc/passwd"
    echo 'madang:x:65532:' >"$root/etc/group"
done
