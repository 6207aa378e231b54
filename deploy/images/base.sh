#!/bin/sh
# base.sh NAME - the image that build.sh builds in, made without a registry of images: Debian by debootstrap (as root, with buildah). From MIRROR and SUITE, or from where this machine's own packages come.
set -eu
name=$1
first() { apt-get indextargets --format "\$($1)" 'Created-By: Packages' | head -n 1; }
mirror=${MIRROR:-$(first SITE)} suite=${SUITE:-$(first RELEASE)}
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM HUP
debootstrap --variant=minbase "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
# How this machine asks for packages (a proxy, the age of a list) and whom it trusts besides goes along: so such images are for trying, not for giving away.
apt-config dump Acquire | sed 's/^Acquire$/Acquire ""/' >"$work/root/etc/apt/apt.conf.d/90as-here"
mkdir -p "$work/root/usr/local/share/ca-certificates"
find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$work/root/usr/local/share/ca-certificates" {} + 2>/dev/null || :
rm -rf "$work/root/var/cache/apt/archives"/*.deb
printf 'FROM scratch\nCOPY root /\n' >"$work/Dockerfile"
buildah bud ${BUILDAH_ISOLATION:+--isolation $BUILDAH_ISOLATION} -q -t "$name" "$work" >/dev/null
