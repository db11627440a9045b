#!/bin/sh
# Writes new random secrets for compose.yaml: docker/secrets.sh >docker/.env
set -eu
umask 077
for name in PREFECT_PASSWORD POSTGRES_PASSWORD REDIS_PASSWORD S3_SECRET_KEY; do
    echo "$name=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done
