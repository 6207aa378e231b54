#!/bin/sh
# Writes a C table of migrations from SQL files:  embed.sh NAME file.sql... > migrations.c
# The files are compiled into the daemon, so a daemon is one file and can't meet the wrong schema folder.
set -eu
name=$1
shift
printf '#include "migrate.h"\n\nconst struct migration %s[] = {\n' "$name"
for file in "$@"; do
    printf '    {"%s",\n' "$(basename "$file" .sql)"
    # a C string literal per line: backslash, quote and the line's end are escaped
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\t/\\t/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
    printf '    },\n'
done
printf '    {0},\n};\n'
