#!/usr/bin/env bats
# dt-launch --roles: groups of nodes with different programs; and --wait-for.

bats_require_minimum_version 1.5.0
load launch

setup() {
    launch_setup
    PORT=$(free_port)
    export PORT
}

# A service that writes "up" when it listens, 0.3 s late, and never ends by itself.
service() {
    cat >service.py <<'END'
import os, socket, sys, time
time.sleep(0.3)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(os.environ["PORT"])))
s.listen()
with open("up", "w") as up:
    up.write(str(os.getpid()))
while True:
    c, _ = s.accept()
    c.recv(1000)
    c.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % (sys.argv[1].encode() if len(sys.argv) > 1 else b"200 OK"))
    c.close()
END
}

@test "a role waits for the service, its end is the job's, the service is ended" {
    service
    cat >job.roles <<'END'
role  service first:1 -- python3 service.py
ready service tcp://127.0.0.1:$PORT 20
role  train   all --nproc-per-node 2 -- sh -c 'test -s up && echo trainer $RANK of $WORLD_SIZE'
end   train
END
    run -0 --separate-stderr "$launch" --roles job.roles -l
    [ "$(sort <<<"$output")" = $'[train] trainer 0 of 2\n[train] trainer 1 of 2' ]
    [ -z "$stderr" ]
    [ ! -d "/proc/$(cat up)" ]
}

@test "a role that fails ends all, and is named; its code is the job's" {
    service
    cat >job.roles <<'END'
role service first:1 -- python3 service.py
ready service http://127.0.0.1:$PORT/health 20
role train all -- sh -c 'echo no data >&2; exit 5'
end train
END
    run -5 "$launch" --roles job.roles
    [[ $output == *'dt-launch: role train (on '*') exited with code 5 after '* ]]
}

@test "a service that dies early ends the job" {
    cat >job.roles <<'END'
role service first:1 -- sh -c 'exit 3'
role train all -- sleep 60
end train
END
    run -3 "$launch" --roles job.roles
    [[ $output == *'dt-launch: role service (on '* ]]
}

@test "without end the job ends with its last role" {
    cat >job.roles <<'END'
role a all -- sh -c 'echo a; sleep 0.3; echo late'
role b all -- echo b
END
    run -0 "$launch" --roles job.roles
    [ "$(sort <<<"$output")" = $'a\nb\nlate' ]
}

@test "two nodes: a world for each role, and the lead of another node's end is heard" {
    cat >job.roles <<'END'
role service first:1 -- sleep 60
role train last:1 --nproc-per-node 3 -- sh -c 'echo $RANK of $WORLD_SIZE on node $NODE_RANK'
end train
END
    common=(--platform plain --nnodes 2 --master-addr 127.0.0.1 --master-port "$PORT" --roles job.roles)
    "$launch" "${common[@]}" --node-rank 0 >lead 2>&1 &
    run -0 "$launch" "${common[@]}" --node-rank 1
    [ "$(sort <<<"$output")" = $'0 of 3 on node 0\n1 of 3 on node 0\n2 of 3 on node 0' ]
    wait $!
    [ ! -s lead ]
}

@test "mistakes: file, line, and what is needed; nothing starts" {
    refused() { # WORDS
        run -64 "$launch" --roles job.roles
        [[ $output == *"$1"* ]] || { echo "no \"$1\" in: $output"; return 1; }
        [ ! -e started ]
    }
    echo 'role a two -- touch started' >job.roles
    refused 'job.roles:1: nodes two'
    echo 'role a 2 -- touch started' >job.roles
    refused 'role a wants 2 nodes'
    echo 'role a 1 -- touch started @b.0@' >job.roles
    run -0 "$launch" --roles job.roles # no role of that name: it is a word
    rm started*
    echo 'role a 1 -- touch started @a.1@' >job.roles
    refused '@a.1@: role a has nodes 0 to 0'
    echo 'role a 1 --no-such-option -- touch started' >job.roles
    run -64 "$launch" --roles job.roles
    [[ $output == *'unknown option --no-such-option'* ]]
    run -64 "$launch" --roles nowhere
    [[ $output == *'--roles: nowhere: No such file'* ]]
    run -64 "$launch" --roles job.roles -- true
    [[ $output == *'--roles and a program contradict'* ]]
    run -64 "$launch" --roles job.roles --nproc-per-node 2
    [[ $output == *'--roles and --nproc-per-node contradict'* ]]
}

@test "--wait-for: HTTP wants a 2xx; what never answers is told" {
    service
    python3 service.py '503 Not ready' &
    pid=$!
    until_ok test -s up
    run -67 "$launch" --wait-for "http://127.0.0.1:$PORT/,0.5" -- touch started
    [[ $output == *"http://127.0.0.1:$PORT/,0.5 did not answer in 0.5 s: does it run"* ]]
    run -0 "$launch" --wait-for "tcp://127.0.0.1:$PORT" -- touch started
    kill $pid
    [ -e started ]
    for bad in ftp://x:1 tcp://x http://:1/ tcp://x:0 http://x:99999/ tcp://x:1/path tcp://x:1,0; do
        run -64 "$launch" --wait-for "$bad" -- true
        [[ $output == *"--wait-for is \"$bad\""* ]] || { echo "$bad: $output"; false; }
    done
}
