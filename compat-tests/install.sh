#!/usr/bin/env bash
# Installs what the compatibility tests need and is missing, and says what it does. Fast when everything is there.
#   system packages   through apt on Debian and Ubuntu (as root, or through sudo)
#   Apache Kafka      its published jars, through Maven                 -> .cache/kafka
#   node              npm ci by package-lock.json                       -> compat-tests/node/node_modules
#   python            pip by requirements.txt with hashes, in a venv    -> .cache/python
#   rust              cargo by Cargo.lock                               -> .cache/rust
#   go                go.sum
# Anything that cannot be had is named at the end, and the exit code is 1: the tests that need it fail, none is left out.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD
cache=$root/.cache
mkdir -p "$cache"
missing=()
say() { echo "install: $*"; }

# need COMMAND PACKAGE...: remembers the packages when the command is not there
packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("${@:2}"); }
need kcat kcat
need jq jq
need gcc gcc libc6-dev
need g++ g++
need make make
need perl perl
need node nodejs
need npm npm
need java openjdk-17-jdk-headless
need javac openjdk-17-jdk-headless
need mvn maven
need mkfs.ext4 e2fsprogs
need losetup util-linux
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then # for network namespaces, which nobody else may have
  need ip iproute2
  need nft nftables
fi
need cargo cargo
[ -e /usr/include/zlib.h ] || packages+=(zlib1g-dev)
need python3 python3
python=/usr/bin/python3
[ -x $python ] || python=$(command -v python3)
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)

if [ ${#packages[@]} -gt 0 ]; then
  sudo=
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  if command -v apt-get >/dev/null 2>&1; then
    say "apt-get install ${packages[*]}"
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >"$cache/apt.log" 2>&1; then
      say "apt-get update, then once more"
      $sudo apt-get update -q >>"$cache/apt.log" 2>&1
      $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >>"$cache/apt.log" 2>&1 || {
        tail -5 "$cache/apt.log"
        missing+=("system packages: ${packages[*]}")
      }
    fi
  else
    missing+=("system packages, and there is no apt here: ${packages[*]}")
  fi
fi

# stale STAMP FILE...: true when a file changed since the stamp was written
stale() {
  local stamp=$1 sum
  shift
  sum=$(sha256sum "$@" | sha256sum)
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return 1
  echo "$sum" >"$stamp.new"
}
done_with() { mv "$1.new" "$1"; }

if stale "$cache/node.stamp" compat-tests/node/package-lock.json || [ ! -d compat-tests/node/node_modules ]; then
  say "npm ci (compat-tests/node)"
  if (cd compat-tests/node && npm ci --no-audit --no-fund --loglevel=error >"$cache/npm.log" 2>&1); then
    [ -e "$cache/node.stamp.new" ] && done_with "$cache/node.stamp"
  else
    tail -5 "$cache/npm.log"
    missing+=("npm packages of compat-tests/node")
  fi
fi

if stale "$cache/python.stamp" compat-tests/python/requirements.txt || [ ! -x "$cache/python/bin/python" ]; then
  say "python venv and pip install (compat-tests/python/requirements.txt)"
  if { [ -x "$cache/python/bin/python" ] || "$python" -m venv "$cache/python"; } >"$cache/pip.log" 2>&1 &&
    "$cache/python/bin/pip" install -q --disable-pip-version-check --only-binary :all: --require-hashes -r compat-tests/python/requirements.txt >>"$cache/pip.log" 2>&1; then
    [ -e "$cache/python.stamp.new" ] && done_with "$cache/python.stamp"
  else
    tail -5 "$cache/pip.log"
    missing+=("python packages of compat-tests/python")
  fi
fi

say "go modules, Apache Kafka's jars, the Java and Rust test programs"
(cd compat-tests && go build -o "$cache/bin/compat" ./cmd/compat >"$cache/go.log" 2>&1) || {
  tail -5 "$cache/go.log"
  missing+=("the Go test programs")
}
"$cache/bin/compat" layout >"$cache/layout.log" 2>&1 || {
  tail -5 "$cache/layout.log"
  missing+=("Apache Kafka's jars")
}
kafka=${KAFKA_HOME_CACHE:-$cache/kafka}
if stale "$cache/java.stamp" compat-tests/java/*.java || [ ! -d "$cache/java" ]; then
  if javac -nowarn -cp "$kafka/broker/*" -d "$cache/java" compat-tests/java/*.java >"$cache/java.log" 2>&1; then
    [ -e "$cache/java.stamp.new" ] && done_with "$cache/java.stamp"
  else
    tail -5 "$cache/java.log"
    missing+=("the Java test program")
  fi
fi
if ! cargo build --release --locked --quiet --manifest-path compat-tests/rust/Cargo.toml --target-dir "$cache/rust" >"$cache/cargo.log" 2>&1; then
  tail -5 "$cache/cargo.log"
  missing+=("the Rust test program")
fi

if [ ${#missing[@]} -gt 0 ]; then
  for m in "${missing[@]}"; do say "CANNOT BE HAD: $m"; done
  exit 1
fi
say "everything is there"
