#!/usr/bin/env bash
# Deploys a version on this machine, and rolls it back automatically if it does not work: docs/deploy.md.
#
#   scripts/deploy.sh staging [VERSION]    gets the images, migrates, rolls everything out, runs a smoke scan
#   scripts/deploy.sh rollback [VERSION]   rolls back to the previous version, or to the given one
#   scripts/deploy.sh smoke                scans ten images with known results through the public API
#   scripts/deploy.sh status               shows containers, their health, and the last deployments
#
# --dry-run prints what would be done, and does nothing. The default VERSION of `staging` is the checked-out commit.
#   STARLIGHT_DEPLOY_IMAGES   build (the default); pull, from STARLIGHT_REGISTRY; present, if they are already here
#   STARLIGHT_DEPLOY_STATE    the folder of releases and of deployments.jsonl; .deploy
#   STARLIGHT_DEPLOY_WAIT_S   the timeout for new containers to become healthy; 180
#   STARLIGHT_DEPLOY_SMOKE_S  the timeout of the smoke scan; 60
# The exit status is 0 if the version is in service; 1 if it is not, and either the previous one is or nothing was changed;
# and 2 if neither version works, so that people are needed.
set -euo pipefail
cd "$(dirname "$0")/.."

IMAGES=${STARLIGHT_DEPLOY_IMAGES:-build}
STATE=${STARLIGHT_DEPLOY_STATE:-.deploy}
WAIT_S=${STARLIGHT_DEPLOY_WAIT_S:-180}
SMOKE_S=${STARLIGHT_DEPLOY_SMOKE_S:-60}
# Services of which two versions may run side by side; all others are replaced in place. Consumers of messages must not be
# older than producers, which gives the order.
FORWARD=(worker dispatcher api)
BACKWARD=(api dispatcher worker)
# How often a new container may restart before it counts as broken.
MAX_RESTARTS=2
# How long running requests may take before the old process is stopped.
DRAIN_S=60
KEY_NAME=deployment

dry=
# Whether the release in hand is a new one, of which nothing is known.
forward=
smoke_result=null

say() { echo "deploy: $*" >&2; }
say_done() { [ -n "$dry" ] || say "version $1 is in service after $SECONDS s"; }
die() { say "$*"; exit 1; }
# Runs a command that changes something; with --dry-run, only prints it.
run() { if [ -n "$dry" ]; then say "would run: $*"; else "$@"; fi; }

# A release is the Compose file as it was deployed, with all settings resolved.
release_of() { echo "$STATE/releases/$1.yml"; }
read_state() { cat "$STATE/$1" 2>/dev/null || true; }
write_state() { run write_file "$STATE/$1" "$2"; }
write_file() { echo "$2" >"$1.new" && mv "$1.new" "$1"; }

# docker compose on the current release, regardless of .env.
compose() { COMPOSE_PROFILES='*' docker compose --progress quiet --env-file /dev/null --project-directory "$PWD" --file "$release" "$@"; }
services() { compose config --services; }
scale_of() { awk -v service="  $1:" '/^  [a-z]/ {found = $0 == service} found && /^    scale:/ {n = $2} END {print n ? n : 1}' "$release"; }
image_of() { awk -v service="  $1:" '/^  [a-z]/ {found = $0 == service} found && /^    image:/ {print $2; exit}' "$release"; }
project() { awk '/^name:/ {print $2; exit}' "$release"; }

# Containers of a service that match the release (`fresh`), or do not (`stale`).
containers() {
    local kind=$1 service=$2 want image id hash made_of
    want=$(compose config --hash "$service" | awk '{print $2}')
    image=$(docker image inspect --format '{{.Id}}' "$(image_of "$service")" 2>/dev/null || true)
    docker ps --all --no-trunc --filter "label=com.docker.compose.project=$(project)" \
        --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False \
        --format '{{.ID}} {{.Label "com.docker.compose.config-hash"}}' | while read -r id hash; do
        made_of=$(docker inspect --format '{{.Image}}' "$id")
        if [ "$hash $made_of" = "$want $image" ]; then
            [ "$kind" = stale ] || echo "$id"
        else
            [ "$kind" = fresh ] || echo "$id"
        fi
    done
}

# Waits until these containers are healthy; fails if one restarts too often, or at the timeout.
await_healthy() {
    local id state restarts health name deadline=$((SECONDS + WAIT_S))
    [ -z "$dry" ] || return 0
    for id in "$@"; do
        while true; do
            read -r name state restarts health < <(docker inspect --format \
                '{{.Name}} {{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}' "$id")
            [ "$state $health" != "running healthy" ] || break
            if [ "$restarts" -gt "$MAX_RESTARTS" ] || [ "$health" = unhealthy ] || [ "$state" = exited ] ||
                [ "$SECONDS" -ge "$deadline" ]; then
                say "${name#/} is $state, $health, restarted $restarts times; its last lines:"
                docker logs --tail 5 "$id" >&2 || true
                reason="${name#/} did not become healthy"
                return 1
            fi
            sleep 1
        done
    done
}

# Sends a command to the proxy and prints its answer.
ask_proxy() {
    docker exec "$(containers fresh proxy | head -n 1)" \
        bash -c 'exec 3<>/dev/tcp/127.0.0.1/9999; echo "$1" >&3; cat <&3' _ "$1"
}
slot_of() { ask_proxy "show servers state api" | awk -v address="$1" '$5 == address {print $4; exit}'; }
sessions_of() { ask_proxy "show stat api 4 -1" | awk -F, -v slot="$1" '$2 == slot {print $5}'; }

# Makes the proxy send no more requests to this API container, and waits until its running ones are answered.
drain() {
    local address slot deadline=$((SECONDS + DRAIN_S))
    address=$(docker inspect --format \
        "{{with index .NetworkSettings.Networks \"$(project)_requests\"}}{{.IPAddress}}{{end}}" "$1")
    slot=$([ -z "$address" ] || slot_of "$address")
    [ -n "$slot" ] || return 0
    ask_proxy "set server api/$slot state drain" >/dev/null
    # Event streams last as long as their jobs, so the wait has a limit; clients reconnect to another container.
    until [ "$(sessions_of "$slot")" = 0 ] || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.2; done
    drained+=("$slot $address")
}
# Makes the drained slots of the proxy usable again, once their containers are gone from it.
free_slots() {
    local slot address deadline=$((SECONDS + 30))
    for each in "${drained[@]}"; do
        read -r slot address <<<"$each"
        until [ "$(slot_of "$address")" != "$slot" ] || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.2; done
        ask_proxy "set server api/$slot state ready" >/dev/null
    done
}

# Starts the release's containers of a service beside the old ones, and stops the old ones once the new ones are healthy.
roll() {
    local service=$1 n stale fresh drained=()
    n=$(scale_of "$service")
    mapfile -t stale < <(containers stale "$service")
    mapfile -t fresh < <(containers fresh "$service")
    # On the way back, the workers of the version that failed may still answer.
    if [ "$service $forward" = "api yes" ] && [ "${#stale[@]}" -gt 0 ] && [ "${#fresh[@]}" -lt "$n" ]; then
        try_api || return 1
    fi
    if [ "${#fresh[@]}" -lt "$n" ]; then
        run compose up --detach --no-build --no-recreate --quiet-pull \
            --scale "$service=$((${#stale[@]} + n))" "$service" || return 1
        [ -n "$dry" ] || mapfile -t fresh < <(containers fresh "$service")
    fi
    # Docker does not restart containers that were stopped or killed by hand.
    [ -n "$dry" ] || for id in "${fresh[@]}"; do docker start "$id" >/dev/null || return 1; done
    await_healthy "${fresh[@]}" || return 1
    if [ "$service" = api ] && [ "${#stale[@]}" -gt 0 ] && [ -z "$dry" ]; then
        # The proxy finds new containers within two seconds; the old ones are drained only after that.
        for id in "${fresh[@]}"; do await_in_proxy "$id" || return 1; done
        for id in "${stale[@]}"; do drain "$id"; done
    fi
    for id in "${stale[@]}"; do end_container "$id"; done
    [ -n "$dry" ] || free_slots
    while [ "${#fresh[@]}" -gt "$n" ]; do
        end_container "${fresh[-1]}"
        unset 'fresh[-1]'
    done
}
end_container() { run docker stop "$1" >/dev/null && run docker rm "$1" >/dev/null; }

await_in_proxy() {
    local address deadline=$((SECONDS + 30))
    address=$(docker inspect --format \
        "{{with index .NetworkSettings.Networks \"$(project)_requests\"}}{{.IPAddress}}{{end}}" "$1")
    # 2: it is up.
    until [ "$(ask_proxy "show servers state api" | awk -v address="$address" '$5 == address {print $6}')" = 2 ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            reason="the proxy did not find the new API"
            return 1
        fi
        sleep 0.2
    done
}

# Replaces services in place, if their configuration or image has changed.
replace() {
    run compose up --detach --no-build --quiet-pull "$@" || return 1
    local service fresh
    for service in "$@"; do
        mapfile -t fresh < <(containers fresh "$service")
        await_healthy "${fresh[@]}" || return 1
    done
}

# Deploys all services of the release, in the given order. The schema must already fit.
roll_out() {
    local service others known
    known=$(services) || return 1
    replace proxy || return 1
    for service in "$@"; do
        ! grep -qx "$service" <<<"$known" || roll "$service" || return 1
    done
    mapfile -t others < <(grep -vxE "migrate|postgres|redis|proxy|$(IFS='|'; echo "$*")" <<<"$known")
    replace "${others[@]}" || return 1
    # Services that the release no longer has.
    docker ps --all --filter "label=com.docker.compose.project=$(project)" \
        --filter label=com.docker.compose.oneoff=False \
        --format '{{.ID}} {{.Label "com.docker.compose.service"}}' | while read -r id service; do
        grep -qx "$service" <<<"$known" || end_container "$id"
    done
}

check_health() {
    local ids
    mapfile -t ids < <(docker ps --all --quiet --filter "label=com.docker.compose.project=$(project)" \
        --filter label=com.docker.compose.oneoff=False)
    await_healthy "${ids[@]}"
}

# Has the API of the release scan known images before the proxy knows it, so that a failing one never reaches customers.
try_api() {
    local name status=0
    name=$(project)-api-trial
    if [ -n "$dry" ]; then
        say "would scan ten known images with the new API, before customers reach it"
        return 0
    fi
    docker rm --force "$name" >/dev/null 2>&1 || true
    compose run --detach --no-deps --name "$name" api >/dev/null && await_healthy "$name" &&
        scan_known "before customers reach it" "$name" "http://127.0.0.1:8080" docker exec --env STARLIGHT_KEY "$name" || status=$?
    [ "$status" -eq 0 ] || reason=${reason:-the new API does not start}
    docker rm --force "$name" >/dev/null 2>&1 || true
    return "$status"
}

# Scans known images through the published port of the API, like a customer.
scan_smoke() {
    local api
    if [ -n "$dry" ]; then
        say "would scan ten known images through the API"
        return 0
    fi
    api=$(containers fresh api | head -n 1)
    if [ -z "$api" ]; then
        reason="the API is not running"
        return 1
    fi
    scan_known "as a customer" "$api" "http://$(compose port proxy 8080)" docker run --rm --network host --read-only --tmpfs /tmp \
        --cap-drop ALL --security-opt no-new-privileges --env STARLIGHT_KEY "$(image_of api)"
}

# scan_known HOW CONTAINER ADDRESS COMMAND...: scans known images at the address with `COMMAND starlight`, using a key that the
# container creates, and stores the result in smoke_result.
scan_known() {
    local how=$1 api=$2 address=$3 key status=0
    shift 3
    docker exec "$api" starlight keys revoke "$KEY_NAME" >/dev/null 2>&1 || true
    key=$(docker exec "$api" starlight keys create "$KEY_NAME" 2>/dev/null) || { reason="the API key for the smoke scan could not be created"; return 1; }
    smoke_result=$(STARLIGHT_KEY=$key "$@" starlight canary --once --json --server "$address" --patience "$SMOKE_S") || status=$?
    docker exec "$api" starlight keys revoke "$KEY_NAME" >/dev/null 2>&1 || true
    if [ -z "$smoke_result" ]; then
        smoke_result=null
        reason="the smoke scan $how was not answered"
        return 1
    fi
    say "smoke scan $how: $(grep -o '"result": "[a-z]*"' <<<"$smoke_result" | cut -d'"' -f4 | sort | uniq -c | xargs), the" \
        "slowest after $(grep -o '"seconds": [0-9.]*' <<<"$smoke_result" | awk '{print $2}' | sort -n | tail -n 1) s"
    if [ "$status" -ne 0 ]; then
        reason="the smoke scan $how had no correct result within $SMOKE_S s"
        return 1
    fi
}

record() {
    [ -z "$dry" ] || return 0
    printf '{"at": "%s", "by": "%s", "action": "%s", "version": "%s", "from": "%s", "outcome": "%s", "reason": "%s", "seconds": %d, "smoke": %s}\n' \
        "$(date -u +%FT%TZ)" "$(id -un)" "$1" "$2" "$3" "$4" "${5//\"/\'}" "$SECONDS" "$smoke_result" >>"$STATE/deployments.jsonl"
}

# Creates missing passwords, and refuses weak ones.
check_secrets() {
    local folder file password
    folder=$(dirname "$(awk '/postgres_password.txt$/ {print $2}' "$release")")
    for file in "$folder"/*_password.txt; do
        [ -e "$file" ] || continue
        password=$(cat "$file")
        if [ "${#password}" -lt 16 ] || [[ ${password,,} =~ password|passwort|starlight|postgres|redis|changeme|secret ]] ||
            [ "$(fold -w1 <<<"$password" | sort -u | wc -l)" -lt 8 ]; then
            die "the password in $file is weak or missing: delete the file, and a new one is created (docs/deploy.md, Secrets)"
        fi
        [[ $password != *[[:space:]\"\'\\]* ]] || die "the password in $file must not have spaces, quotes or backslashes"
    done
    run docker/make-secrets "$folder" >&2
}

name_version() {
    local changed
    git rev-parse --short=12 HEAD >/dev/null 2>&1 || die "this is not a Git checkout: name a version"
    changed=$(git status --porcelain)
    if [ -z "$changed" ]; then
        git rev-parse --short=12 HEAD
    else
        echo "$(git rev-parse --short=12 HEAD)-$({ git diff HEAD && echo "$changed"; } | sha256sum | cut -c1-8)"
    fi
}

render() {
    STARLIGHT_TAG=$1 STARLIGHT_REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown) docker compose config |
        # The order of starts is defined here; with depends_on, Compose would also start services that are not requested.
        awk '/^    depends_on:/ {inside = 1; next} inside && /^      / {next} {inside = 0; print}'
}

get_images() {
    case $IMAGES in
    build) run compose build --quiet ;;
    pull)
        local ours
        mapfile -t ours < <(services | grep -E '^(migrate|worker)')
        run compose pull --quiet "${ours[@]}"
        ;;
    present) ;;
    *) die "STARLIGHT_DEPLOY_IMAGES must be build, pull or present, not $IMAGES" ;;
    esac
}

# Whether the release's code works with the current schema: its own migrations then succeed without changes.
fits_schema() { [ -n "$dry" ] || compose run --rm -T migrate >/dev/null 2>&1; }

# Rolls back to the previous version after a failed deployment.
go_back() {
    local version=$1 previous=$2 failure=$3
    say "version $version failed: $failure"
    if [ -z "$previous" ]; then
        record staging "$version" "" failed "$failure"
        say "there is no previous version; the started containers are kept for inspection"
        exit 2
    fi
    say "rolling back to $previous"
    release=$(release_of "$previous")
    forward=
    reason=
    if fits_schema && roll_out "${BACKWARD[@]}" && check_health && scan_smoke; then
        record staging "$version" "$previous" "rolled back" "$failure"
        rm -f "$STATE/pending"
        say "version $previous is in service again; $version is not"
        exit 1
    fi
    reason=${reason:-it does not work with the schema}
    record staging "$version" "$previous" "roll back failed" "$failure; then $reason"
    say "version $previous does not work either: $reason"
    exit 2
}

stage() {
    local version=$1 previous reason=
    previous=$(read_state current)
    [[ $version =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || die "$version is not a valid image tag"
    release=$(release_of "$version")
    if [ -n "$dry" ]; then
        release=$(mktemp)
        trap 'rm -f "$release"' EXIT
    fi
    render "$version" >"$release.new" && mv "$release.new" "$release"
    chmod 600 "$release"
    grep -qE '^worker' <<<"$(services)" || die "there are no workers: set COMPOSE_PROFILES to cpu or gpu, in .env too"
    check_secrets
    say "version $version; previous: ${previous:-none}"
    if ! get_images; then
        record staging "$version" "$previous" failed "the images could not be built or pulled"
        die "the images could not be built or pulled: nothing was changed"
    fi
    if ! run compose up --detach --no-build --quiet-pull --wait --wait-timeout "$WAIT_S" postgres redis; then
        record staging "$version" "$previous" failed "PostgreSQL or Redis did not start"
        die "PostgreSQL or Redis did not start: nothing else was changed"
    fi
    if ! run compose run --rm -T migrate; then
        record staging "$version" "$previous" failed "the migrations failed"
        die "the migrations failed and were rolled back; version ${previous:-none} stays in service"
    fi
    write_state pending "$version"
    forward=yes
    if roll_out "${FORWARD[@]}" && check_health && scan_smoke; then
        if [ "$previous" != "$version" ]; then
            write_state previous "$previous"
            write_state current "$version"
        fi
        run rm -f "$STATE/pending"
        record staging "$version" "$previous" "in service" ""
        say_done "$version"
    else
        [ "$previous" != "$version" ] || previous=$(read_state previous)
        go_back "$version" "$previous" "$reason"
    fi
}

roll_back() {
    local version=${1:-$(read_state previous)} from reason=
    from=$(read_state current)
    [ -n "$version" ] || die "there is no version before ${from:-the first one}"
    release=$(release_of "$version")
    [ -e "$release" ] || die "version $version was never deployed from here: see $STATE/releases"
    fits_schema || die "version $version does not work with the schema, or PostgreSQL does not answer: nothing was changed"
    write_state pending "$version"
    say "rolling back from ${from:-none} to $version"
    if roll_out "${BACKWARD[@]}" && check_health && scan_smoke; then
        write_state previous "$from"
        write_state current "$version"
        run rm -f "$STATE/pending"
        record rollback "$version" "$from" "in service" ""
        say_done "$version"
    else
        record rollback "$version" "$from" failed "$reason"
        say "version $version does not work: $reason"
        exit 2
    fi
}

show_status() {
    local current states service healthy status=0
    current=$(read_state current)
    [ -n "$current" ] || die "nothing was deployed from here"
    echo "in service: $current; previous: $(read_state previous)"
    [ ! -e "$STATE/pending" ] ||
        echo "a deployment of $(read_state pending) was interrupted: run staging again, or rollback $current"
    tail -n 5 "$STATE/deployments.jsonl" | sed 's/, "smoke":.*/}/'
    release=$(release_of "$current")
    compose ps --all --format '{{.Service}}\t{{.Image}}\t{{.Status}}'
    states=$(compose ps --format '{{.Service}} {{.Status}}')
    for service in $(services); do
        healthy=$(grep -c "^$service .*(healthy)" <<<"$states" || true)
        if [ "$service" != migrate ] && [ "$healthy" -lt "$(scale_of "$service")" ]; then
            echo "of $service, $healthy of $(scale_of "$service") are healthy"
            status=1
        fi
    done
    return "$status"
}

arguments=()
for argument in "$@"; do
    if [ "$argument" = --dry-run ]; then dry=yes; else arguments+=("$argument"); fi
done
set -- "${arguments[@]}"
action=${1:-}
case $action in
staging | rollback | smoke | status) ;;
*)
    sed -n '2,/^set/s/^# \?//p' "$0" >&2
    exit 1
    ;;
esac

if ! docker compose version >/dev/null 2>&1 || ! docker version >/dev/null 2>&1; then
    die "no Docker engine with Compose is reachable"
fi
mkdir -p "$STATE/releases"
chmod 700 "$STATE"
STATE=$(cd "$STATE" && pwd)
if [ "$action" != status ]; then
    exec 9>"$STATE/lock"
    flock --nonblock 9 || die "another deployment is running"
fi

case $action in
staging) stage "${2:-$(name_version)}" ;;
rollback) roll_back "${2:-}" ;;
status) show_status ;;
smoke)
    release=$(release_of "$(read_state current)")
    [ -e "$release" ] || die "nothing was deployed from here"
    reason=
    scan_smoke || { say "$reason"; exit 1; }
    ;;
esac
