#!/usr/bin/env bash
# watchdog.sh PID SECONDS: reads the name of each spec that starts and aborts the
# process when no further line comes in time. A line "!N" gives the present
# spec N seconds. Ends with its input.
set -u
pid=$1
seconds=$2
limit=$seconds
name="before the first spec"
while true; do
  if read -r -t "$limit" line; then
    case $line in
      !*) limit=${line#!} ;;
      *) name=$line limit=$seconds ;;
    esac
  elif (($? > 128)); then
    kill -0 "$pid" 2>/dev/null || exit 0
    printf '# watchdog: over %s seconds: %s\n' "$limit" "$name" >&2
    kill -ABRT "$pid"
    exit 1
  else
    exit 0
  fi
done
