#!/bin/sh
# Writes new random secrets for compose.yaml into docker/.env, or into the file named, for its owner
# alone. A file that exists stays: Postgres keeps the password that it first started with.
set -eu
umask 077
file=${1:-$(dirname "$0")/.env}
if [ -e "$file" ]; then
    echo "Expected no $file yet, but it exists and may hold the secrets of a stack in use: keep it." >&2
    echo "To begin anew, and lose what the stack has stored: docker compose -f docker/compose.yaml" >&2
    echo "down --volumes, delete $file, then run this again." >&2
    exit 1
fi
lines=
for name in PREFECT_PASSWORD POSTGRES_PASSWORD REDIS_PASSWORD S3_SECRET_KEY; do
    lines="$lines$name=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
"
done
set -C # nor one that another call has written meanwhile
printf %s "$lines" >"$file"
