#!/bin/sh
# prepare.sh FOLDER - the files of the gateway's /docs page: ours and Swagger UI (1.6 MB, once, from Maven Central). Without Maven or the
# network it leaves the folder out and says so: the gateway then answers 404 for /docs, and /openapi.yaml is served all the same.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
cat "$here/pom.xml" "$here/index.html" "$here/start.js" "$here/asyncapi.html" "$here/page.css" >"$folder.wanted.$$"
trap 'rm -rf "$folder.wanted.$$" "$folder.new.$$"' EXIT
cmp -s "$folder.wanted.$$" "$folder/.made-of" && exit 0
command -v mvn >/dev/null || { echo "docs: no Maven, so no /docs page" >&2; exit 0; }
if ! mvn -q -B -f "$here/pom.xml" dependency:unpack-dependencies -DoutputDirectory="$folder.new.$$" \
    -DmarkersDirectory="$folder.new.$$/markers" \
    -Dmdep.unpack.includes='**/swagger-ui.css,**/swagger-ui-bundle.js' >"$folder.log" 2>&1; then
    echo "docs: Swagger UI could not be fetched (see $folder.log), so no /docs page" >&2
    exit 0
fi
rm -rf "$folder" "$folder.log"
mkdir -p "$folder"
find "$folder.new.$$" \( -name swagger-ui.css -o -name swagger-ui-bundle.js \) -exec cp {} "$folder" \;
cp "$here/index.html" "$here/start.js" "$here/asyncapi.html" "$here/page.css" "$folder"
chmod -R a+rX "$folder"
mv "$folder.wanted.$$" "$folder/.made-of"
