#!/bin/sh
# build.sh [TAG] - every image of Madang with docker, podman or buildah (ENGINE=), and their sizes. BASE is the image of the build stage (debian:12-slim). PREFIX (madang/) goes before each name.
set -eu
cd "$(dirname "$0")/../.."
tag=${1:-0.1.0} prefix=${PREFIX:-madang/}
for engine in ${ENGINE:-docker podman buildah}; do command -v "$engine" >/dev/null && break; done
case $engine in buildah) build="buildah bud --layers ${BUILDAH_ISOLATION:+--isolation $BUILDAH_ISOLATION}" images="buildah images" ;; *) build="$engine build" images="$engine images" ;; esac
for daemon in gateway auth-svc user-svc chat-svc presence-svc push-svc notify-svc match-svc order-svc game-svc; do
    case $daemon in gateway) target=gateway ;; *) target=daemon ;; esac
    $build -f deploy/images/Dockerfile ${BASE:+--build-arg "BASE=$BASE"} --build-arg "DAEMON=$daemon" --target "$target" -t "$prefix$daemon:$tag" .
done
$images | grep "$prefix"
