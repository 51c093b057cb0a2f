#!/bin/sh
# Install with pip into a virtual environment: one line of progress, and pip's whole output in VENV/install.log.
#
#   scripts/install.sh VENV WHAT PIP_ARGUMENTS...
#
# WHAT is said to the user. With V=1 (make V=1 ...) pip's output is shown instead. If pip fails, the last lines of its
# output are printed, and the exit code is pip's.
set -u
venv=$1 what=$2
shift 2
log=$venv/install.log

if [ "${V:-}" = 1 ]; then
  exec "$venv/bin/python" -m pip install "$@"
fi

if [ -t 1 ]; then every=1 start='\r' end='\033[K'; else every=30 start='' end='\n'; fi

clock() {
  printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# What pip does now, in at most 60 characters: the number of packages that it has found, and the newest one.
progress() {
  if grep -q '^Installing collected packages:' "$log"; then
    printf '%s packages to install' "$(grep '^Installing collected packages:' "$log" | tail -n 1 | tr ',' '\n' | wc -l | tr -d ' ')"
  else
    newest=$(sed -n 's/^ *Collecting \([A-Za-z0-9_.-]*\).*/\1/p' "$log" | tail -n 1)
    printf '%s packages found%.40s' "$(grep -c '^ *Collecting \|^ *Requirement already satisfied' "$log")" "${newest:+, $newest}"
  fi
}

echo "installing $what into $venv; log: $log"
"$venv/bin/python" -m pip install "$@" >"$log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; echo; exit 130' INT TERM HUP  # the shell starts background jobs with Ctrl-C ignored

begin=$(date +%s) shown=0
while kill -0 $pid 2>/dev/null; do
  sleep 1
  seconds=$(($(date +%s) - begin))
  if [ $((seconds - shown)) -ge $every ]; then
    shown=$seconds
    printf "$start  %s  %s$end" "$(clock $seconds)" "$(progress)"
  fi
done
wait $pid
code=$? seconds=$(($(date +%s) - begin))

if [ $code -ne 0 ]; then
  [ -t 1 ] && printf '\r\033[K'
  echo "pip failed with exit code $code; the end of $log:" >&2
  tail -n 20 "$log" >&2
  exit $code
fi
new=$(sed -n 's/^Successfully installed //p' "$log" | tail -n 1 | wc -w | tr -d ' ')
[ -t 1 ] && printf '\r\033[K'
echo "  installed $new packages in $(clock $seconds)"
