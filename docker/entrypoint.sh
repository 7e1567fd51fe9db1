#!/bin/sh
# Builds the servers' URLs from the passwords in /run/secrets, then executes its arguments.
set -eu

# Prints a secret, encoded for a URL.
secret() {
    python -ISc 'import sys, urllib.parse; print(urllib.parse.quote(sys.stdin.read().rstrip("\r\n"), safe=""))' \
        <"/run/secrets/$1"
}

if [ -z "${STARLIGHT_DATABASE_URL:-}" ] && [ -e /run/secrets/postgres_password ]; then
    password=$(secret postgres_password)
    export STARLIGHT_DATABASE_URL="postgresql://starlight:$password@postgres:5432/starlight"
fi
if [ -z "${STARLIGHT_REDIS_URL:-}" ] && [ -e /run/secrets/redis_password ]; then
    password=$(secret redis_password)
    export STARLIGHT_REDIS_URL="redis://:$password@redis:6379/0"
fi
if [ -z "${STARLIGHT_FLOWER_BASIC_AUTH:-}" ] && [ -e /run/secrets/flower_password ]; then
    password=$(cat /run/secrets/flower_password)
    export STARLIGHT_FLOWER_BASIC_AUTH="starlight:$password"
fi
unset password

exec "$@"
