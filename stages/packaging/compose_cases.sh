# shellcheck shell=bash
# Calls that go on while a container takes over from another.
# shellcheck disable=SC2153  # WORK and more come from stages/packaging/run

compose() {
    env DOCKER_HOST="unix://$ENGINE/socket" DOCKER_CONFIG="$ENGINE/config" HOME="$ENGINE" \
        docker-compose --project-directory "$WORK/compose" --file "$WORK/compose/compose.yaml" "$@" </dev/null
}

case_compose_update() {
    mkdir -p "$WORK/compose"
    cat >"$WORK/compose/compose.yaml" <<YAML
services:
  taciturn:
    image: taciturn
    network_mode: host
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    command: ["--take-over"]
    environment:
      TACITURN_AUTH_USERS: "${CREDENTIALS[1]}:${CREDENTIALS[3]}"
      TACITURN_EXTERNAL_IP: 203.0.113.7
      TACITURN_PROTOCOL_RFC5766_CHANNELS: "true"
    volumes:
      - state:/var/lib/taciturn
volumes:
  state:
YAML
    local image status
    image=$(docker image inspect --format '{{.Id}}' taciturn) || return 1
    compose up -d taciturn && update_under_calls
    status=$?
    compose logs --no-color taciturn
    compose down --volumes
    end_calls
    # The update took the name.
    docker tag "$image" taciturn
    return $status
}

update_under_calls() {
    local before now
    wait_for 20 compose_health || return 1
    before=$(compose ps -q taciturn)
    begin_calls "/run/netns/$NETNS" 350 || return 1
    # Another image.
    printf 'FROM taciturn\nLABEL update=yes\n' >"$WORK/compose/Dockerfile"
    docker build --tag taciturn "$WORK/compose" || return 1

    compose up -d --no-recreate --scale taciturn=2 taciturn || return 1
    now=$(compose ps -q taciturn | grep -v "^$before")
    wait_for 20 container_took_over "$now" || { say "the new container does not take over"; return 1; }
    # The old one is of no use any more. Not by --scale: which of the two goes depends on the version of Compose.
    docker stop "$before" && expect_equal "$(docker inspect --format '{{.State.ExitCode}}' "$before")" 0 &&
        docker rm "$before" || return 1
    expect_equal "$(docker inspect --format '{{index .Config.Labels "update"}} {{.State.Running}}' "$now")" "yes true" &&
        expect_equal "$(compose ps -q taciturn)" "$now" || return 1
    calls_run_still && calls_lost_nothing "an update of the container"
}

container_took_over() {
    docker logs "$1" 2>&1 | grep 'running calls were carried over .* stayed=0 ended=0'
}

compose_health() {
    compose exec -T taciturn turnctl health
}
