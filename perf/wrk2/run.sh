#!/usr/bin/env bash
# Runs real wrk2 at several rates against a URL, or against a ringway that it starts in front of a
# service; keeps each output and draws the latency spectrum. Usage: run.sh -h
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    cat <<'TEXT'
usage: run.sh -u URL [options]               against what answers at URL
       run.sh -p "HOST:PORT …" [options]     starts ringway in front of these, ends it afterwards

  -r "RATE …"   requests a second, one run each          (default: "1000 2000 4000")
  -c N          connections                               (default: 64)
  -t N          threads of wrk2                           (default: 2)
  -d TIME       of each run; wrk2 calibrates for 10 s      (default: 30s)
  -s FILE       a Lua script, such as mixed.lua           (default: report.lua)
  -l IP:PORT    where ringway listens, with -p            (default: 127.0.0.1:4140)
  -a IP:PORT    its admin address, with -p                (default: 127.0.0.1:4191)
  -P PATH       path of the URL, with -p                  (default: /)
  -o DIR        where outputs go                          (default: ./wrk2-DATE-TIME)

wrk2 has to be on PATH, as `wrk2` or, as it is built, as `wrk`; or named by the variable WRK2.
ringway is taken from PATH, or from the variable RINGWAY.
TEXT
}

fail() { echo "run.sh: $*" >&2; exit 1; }

# Prints the wrk2 that is there. wrk knows no --rate, and its figures would mean something else.
find_wrk2() {
    local candidate path
    for candidate in ${WRK2:+"$WRK2"} wrk2 wrk; do
        path=$(type -P "$candidate") || continue # a program, never a function of this shell
        if { "$path" --help 2>&1 || true; } | grep -q -- '--rate'; then
            echo "$path"
            return
        fi
    done
    fail "wrk2 is not on PATH (wrk alone is not wrk2: it has no -R). Debian has no package of it:
  apt-get install build-essential libssl-dev zlib1g-dev git
  git clone https://github.com/giltene/wrk2 && make -C wrk2
  cp wrk2/wrk /usr/local/bin/wrk2
or name the program: WRK2=/path/to/wrk $0 …"
}

url='' services='' rates='1000 2000 4000' connections=64 threads=2 duration=30s
script=$here/report.lua listen=127.0.0.1:4140 admin=127.0.0.1:4191 path=/
out=wrk2-$(date -u +%Y%m%d-%H%M%S)
while getopts 'u:p:r:c:t:d:s:l:a:P:o:h' option; do
    case $option in
        u) url=$OPTARG ;; p) services=$OPTARG ;; r) rates=$OPTARG ;; c) connections=$OPTARG ;;
        t) threads=$OPTARG ;; d) duration=$OPTARG ;; s) script=$OPTARG ;; l) listen=$OPTARG ;;
        a) admin=$OPTARG ;; P) path=$OPTARG ;; o) out=$OPTARG ;;
        h) usage; exit 0 ;; *) usage >&2; exit 2 ;;
    esac
done
[ -n "$url" ] || [ -n "$services" ] || { usage >&2; exit 2; }
[ -z "$url" ] || [ -z "$services" ] || fail "-u or -p, not both"
[ -r "$script" ] || fail "-s: cannot read $script"
program=$(find_wrk2) || exit 1

mkdir -p "$out"
started=''
finish() {
    [ -z "$started" ] || { kill "$started" 2>/dev/null && wait "$started" 2>/dev/null; } || true
}
trap finish EXIT

# Whether ringway's first snapshot is there: its port is open a little earlier, and answers 503.
ready() {
    local line
    exec 3<>"/dev/tcp/${admin%:*}/${admin##*:}" || return
    printf 'GET /ready HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n' >&3
    read -r line <&3 && [[ $line == *' 200 '* ]]
}

if [ -n "$services" ]; then
    ringway=${RINGWAY:-$(type -P ringway || true)}
    [ -n "$ringway" ] || fail "ringway is not on PATH: name it in RINGWAY, or use -u"
    # shellcheck disable=SC2086 # several addresses, separated by blanks
    "$ringway" to $services --listen "$listen" --admin "$admin" 2>"$out/ringway.log" &
    started=$!
    url=http://$listen$path
    for attempt in {1..100}; do
        (ready) 2>/dev/null && break
        kill -0 "$started" 2>/dev/null || { cat "$out/ringway.log" >&2; fail "ringway ended"; }
        [ "$attempt" -lt 100 ] || fail "ringway is not ready after 10 s: see $out/ringway.log"
        sleep 0.1
    done
fi

for rate in $rates; do
    echo "run.sh: $rate requests/s for $duration" >&2
    WRK2_JSON=$out/$rate.json WRK2_URL=$url WRK2_RATE=$rate \
        "$program" -t"$threads" -c"$connections" -d"$duration" -R"$rate" --latency \
        -s "$script" "$url" >"$out/$rate.txt" \
        || { cat "$out/$rate.txt" >&2; fail "wrk2 failed at $rate requests/s"; }
    grep -E 'Requests/sec|Socket errors|Non-2xx' "$out/$rate.txt" >&2
done

spectra=()
for rate in $rates; do spectra+=("$rate requests/s=$out/$rate.txt"); done
"$here/spectrum.py" -o "$out/spectrum.svg" --title "$url, $connections connections" \
    "${spectra[@]}"
