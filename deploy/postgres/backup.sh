#!/bin/sh
# backup.sh - backups of PostgreSQL by PG_URL (a superuser, or a role with REPLICATION): a base backup now and then, the log of changes (WAL) all the time.
#
#   backup.sh base FOLDER      one base backup: FOLDER/base-<time>/ (tar, compressed, its own WAL inside, checked by pg_verifybackup's manifest at restoring)
#   backup.sh wal FOLDER       receives WAL into FOLDER/wal until it is stopped; the slot madang_backup keeps what was not received yet, so nothing is missing between two runs
#   backup.sh keep FOLDER N    removes all but the N newest base backups, and the WAL that none of the rest needs
#
# Give FOLDER a disk of its own: a slot that nobody reads fills the server's (max_slot_wal_keep_size bounds that). restore.sh is the other half; docs/runbooks/database-lost.md says when.
set -eu
: "${1:?base, wal or keep}" "${2:?a folder}"
folder=$2
umask 077
mkdir -p "$folder"

case $1 in
base)
    name=base-$(date -u +%Y%m%dT%H%M%SZ)
    rm -rf "$folder/.$name"
    pg_basebackup -d "${PG_URL:?}" -D "$folder/.$name" -F tar -z -X stream -c fast --manifest-checksums=SHA256 -l "$name"
    mv "$folder/.$name" "$folder/$name" # a half one never has the name of a whole one
    echo "$folder/$name"
    ;;
wal)
    mkdir -p "$folder/wal"
    pg_receivewal -d "${PG_URL:?}" -D "$folder/wal" --slot madang_backup --create-slot --if-not-exists
    exec pg_receivewal -d "$PG_URL" -D "$folder/wal" --slot madang_backup --synchronous
    ;;
keep)
    number=${3:?how many}
    case $number in '' | *[!0-9]* | 0) echo "backup.sh: keep at least 1" >&2; exit 2 ;; esac
    ls -d "$folder"/base-* | sort -r | tail -n +$((number + 1)) | while read -r old; do rm -rf "$old"; done
    oldest=$(ls -d "$folder"/base-* | sort | head -1)
    # "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)": nothing before that file is needed.
    first=$(tar -xzOf "$oldest/base.tar.gz" backup_label | sed -n 's/.*(file \([0-9A-F]*\)).*/\1/p')
    [ ! -d "$folder/wal" ] || pg_archivecleanup "$folder/wal" "$first"
    ;;
*)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac
