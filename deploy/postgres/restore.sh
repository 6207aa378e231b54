#!/bin/sh
# restore.sh FOLDER PGDATA [TARGET] - makes a data directory from the newest base backup in FOLDER and its WAL (backup.sh). Start PostgreSQL on PGDATA afterwards, as its owner: it replays the log and opens.
# TARGET: a time ("2026-11-21 09:30:00+00") or point:<name> (pg_create_restore_point), where replay ends: for what was deleted by mistake. Without it everything that was received is replayed.
set -eu
folder=$(cd "${1:?a folder of backups}" && pwd) data=${2:?a data directory that does not exist yet} target=${3:-}
[ ! -e "$data" ] || { echo "restore.sh: $data is there already; move it away first" >&2; exit 1; }
base=$(ls -d "$folder"/base-* | sort | tail -1)
case $folder in *[!A-Za-z0-9/._-]*) echo "restore.sh: a folder's name of letters, digits, / . _ - only" >&2; exit 1 ;; esac
umask 077
mkdir -p "$data.new"
trap 'rm -rf "$data.new"' EXIT
tar -xzf "$base/base.tar.gz" -C "$data.new"
tar -xzf "$base/pg_wal.tar.gz" -C "$data.new/pg_wal"
cp "$base/backup_manifest" "$data.new/backup_manifest"
pg_verifybackup -q "$data.new" # every file as it was when the backup was made
rm "$data.new/backup_manifest"
{
    # The last segment is still being received when the server is lost: its name ends in .partial.
    echo "restore_command = 'cp $folder/wal/%f %p || cp $folder/wal/%f.partial %p'"
    case $target in
    '') ;;
    point:*) echo "recovery_target_name = '$(echo "${target#point:}" | sed "s/'/''/g")'" ;;
    *) echo "recovery_target_time = '$(echo "$target" | sed "s/'/''/g")'" ;;
    esac
    [ -z "$target" ] || echo "recovery_target_action = 'promote'"
} >>"$data.new/postgresql.auto.conf"
touch "$data.new/recovery.signal"
mv "$data.new" "$data"
trap - EXIT
echo "$base, with the changes after it${target:+ up to $target}: start PostgreSQL on $data"
