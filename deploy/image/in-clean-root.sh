#!/bin/sh
# Runs the Dockerfile in a clean Debian root instead of a container: for where there is no Docker.
#
#   sh deploy/image/in-clean-root.sh        as root, on a Debian with debootstrap; some minutes
#
# A minimal Debian bookworm with its own Python stands for the base image; each COPY and RUN of the
# Dockerfile is done in it, with both stages in one root, and its command is started as its user,
# asked by its health check, and ended by its STOPSIGNAL. Exit code 0: all of that went well.
#
# MIRROR: where Debian's packages come from, as apt of this machine has it unless given.
# PORT: where it listens for as long as the test lasts, 18080 unless given.
set -eu
cd "$(dirname "$0")/../.."

mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | sed -n 's/ bookworm$//p' | head -n 1)}
port=${PORT:-18080}
root=$(mktemp -d)
chmod 0755 "$root"
process=
end() {
  [ -z "$process" ] || kill -KILL "$process" 2>/dev/null || true
  umount "$root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap end EXIT
trap 'exit 1' INT TERM
step() { printf '\n== %s\n' "$*"; }

step "Debian bookworm"
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
  bookworm "$root" "$mirror" >"$root.log" || { tail "$root.log"; exit 1; }
rm -f "$root.log"
mount -t proc proc "$root/proc" || echo "without /proc"
# How this machine reaches the network is not the image's matter.
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

# The settings of the image so far, for `env`; one a line.
environ=$root/environ
printf '%s\n' HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin >"$environ"
network=$root/network
env | grep -iE '^(https?_proxy|no_proxy|pip_index_url|uv_(default_)?index(_url)?)=' >"$network" || true
echo SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt >>"$network"
echo PIP_CERT=/etc/ssl/certs/ca-certificates.crt >>"$network"

# inside USER FOLDER FILE COMMAND…: in the root, with the variables in the file and no others.
inside() {
  user=$1 folder=$2 file=$3
  shift 3
  # shellcheck disable=SC2046  # none of the values has a space in it
  exec chroot --userspec="$user" "$root" /usr/bin/env -i $(cat "$file") \
    sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
}
# words JSON: the words of a command in the exec form.
words() { printf '%s' "$1" | tr -d '[]",'; }

folder=/
while IFS= read -r line; do
  argument=${line#* }
  case $line in
    "COPY --from="*) ;; # both stages are in one root
    "COPY "*)
      target=$folder/${argument##* }
      for source in ${argument% *}; do
        case $target in
          */./) mkdir -p "$root$target" && cp -a "$source" "$root$target" ;;
          *) mkdir -p "$root$(dirname "$target")" && cp -a "$source" "$root$target" ;;
        esac
      done
      ;;
    "WORKDIR "*) folder=$argument && mkdir -p "$root$folder" ;;
    "RUN "*)
      step "$argument"
      cat "$environ" "$network" >"$root/both"
      (inside 0:0 "$folder" /dev/stdin sh -c "$argument" <"$root/both")
      ;;
    "ENV "*)
      path=$(sed -n 's/^PATH=//p' "$environ" | tail -n 1)
      printf '%s\n' "$argument" | sed "s#\$PATH#$path#" >>"$environ"
      ;;
    "FROM "*) folder=/ ;;
    "USER "*) user=$argument ;;
    "STOPSIGNAL "*) signal=${argument#SIG} ;;
    "ENTRYPOINT "*) entrypoint=$(words "$argument") ;;
    "CMD "*) command=$(words "$argument") ;;
    "HEALTHCHECK "*) healthcheck=$(words "${argument#*CMD }") ;;
  esac
done <Dockerfile
printf 'PRESENCE_PORT=%s\n' "$port" >>"$environ"
chmod 0644 "$environ"

step "$entrypoint $command"
# shellcheck disable=SC2086  # words they are
(inside "$user" / "$environ" $entrypoint $command) &
process=$!
# shellcheck disable=SC2086
healthy() { (inside "$user" / "$environ" $healthcheck) 2>/dev/null; }
tries=0
until healthy; do
  tries=$((tries + 1))
  [ "$tries" -lt 120 ] && kill -0 "$process" || { echo "it does not get healthy"; exit 1; }
  sleep 0.5
done
step "healthy; $signal"
kill -s "$signal" "$process"
wait "$process" || { echo "it did not end in order"; exit 1; }
process=
if healthy; then echo "something is left"; exit 1; fi
step "done"
