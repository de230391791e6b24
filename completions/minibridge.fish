# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for minibridge: verbs, options, and the names that exist.

function __minibridge_containers
    minibridge ps -a 2>/dev/null | awk 'NR > 1 { print $2 }'
end

function __minibridge_networks
    minibridge network ls 2>/dev/null | awk 'NR > 1 { print $2 }'
end

function __minibridge_scenarios
    minibridge scenario ls 2>/dev/null | awk 'NR > 1 { print $1 }'
end

function __minibridge_labs
    minibridge lab ls 2>/dev/null | awk 'NR > 1 { print $1 }'
end

function __minibridge_lab_nodes
    minibridge lab ls 2>/dev/null | awk 'NR > 1 { for (i = 6; i <= NF; i++) print $i }'
end

set -l verbs run create exec ps start stop restart kill rm logs port wait version publish unpublish inspect network plan repair doctor rules down lab scenario echo
set -l no_verb "not __fish_seen_subcommand_from $verbs"
# `network create` and `scenario run` are other verbs than `create` and `run`.
set -l plain 'not __fish_seen_subcommand_from network lab scenario; and __fish_seen_subcommand_from'

complete -c minibridge -f
complete -c minibridge -n $no_verb -l state-dir -x -a '(__fish_complete_directories)' -d 'where the state is'
complete -c minibridge -n $no_verb -l format -x -a 'table json' -d 'form of the output'
complete -c minibridge -n $no_verb -l color -x -a 'auto always never' -d colour
complete -c minibridge -n $no_verb -l dry-run -d 'only show the steps'
complete -c minibridge -n $no_verb -s v -l verbose -d 'tell each step'
complete -c minibridge -l help -d 'what it does'

complete -c minibridge -n $no_verb -a run -d 'run a command in a container'
complete -c minibridge -n $no_verb -a create -d 'make a namespace with its network and no process'
complete -c minibridge -n $no_verb -a exec -d 'run a further command in a container'
complete -c minibridge -n $no_verb -a ps -d 'list containers'
complete -c minibridge -n $no_verb -a start -d 'start stopped containers'
complete -c minibridge -n $no_verb -a stop -d 'stop containers'
complete -c minibridge -n $no_verb -a restart -d 'stop and start'
complete -c minibridge -n $no_verb -a kill -d 'send a signal'
complete -c minibridge -n $no_verb -a rm -d 'remove containers'
complete -c minibridge -n $no_verb -a logs -d 'show what a container printed'
complete -c minibridge -n $no_verb -a port -d 'show published ports'
complete -c minibridge -n $no_verb -a wait -d 'wait for a container to end'
complete -c minibridge -n $no_verb -a version -d 'print the version'
complete -c minibridge -n $no_verb -a publish -d 'publish ports of a running container'
complete -c minibridge -n $no_verb -a unpublish -d 'no longer publish ports'
complete -c minibridge -n $no_verb -a inspect -d 'everything about containers and networks'
complete -c minibridge -n $no_verb -a network -d 'make, list and remove networks'
complete -c minibridge -n $no_verb -a plan -d 'show what a verb would do'
complete -c minibridge -n $no_verb -a repair -d 'put right what differs'
complete -c minibridge -n $no_verb -a doctor -d 'what on this host stops packets'
complete -c minibridge -n $no_verb -a rules -d 'our rules with their reasons'
complete -c minibridge -n $no_verb -a down -d 'remove everything of minibridge'
complete -c minibridge -n $no_verb -a lab -d 'a simulated internet in namespaces'
complete -c minibridge -n $no_verb -a scenario -d 'lessons that run and check themselves'
complete -c minibridge -n $no_verb -a echo -d 'the test server'

complete -c minibridge -n "$plain exec start stop restart kill rm logs port wait publish unpublish inspect rules" -a '(__minibridge_containers)'
complete -c minibridge -n "$plain inspect rules" -a '(__minibridge_networks)'

set -l attached "$plain run create"
complete -c minibridge -n $attached -l network -x -a '(__minibridge_networks) none host' -d 'which network'
complete -c minibridge -n $attached -s p -l publish -x -d 'publish ports'
complete -c minibridge -n $attached -l expose -x -d 'port of the container'
complete -c minibridge -n $attached -s P -l publish-all -d 'publish exposed ports'
complete -c minibridge -n $attached -l ip -x -d 'fixed address'
complete -c minibridge -n $attached -l ip6 -x -d 'fixed IPv6 address'
complete -c minibridge -n $attached -l mac-address -x -d 'fixed MAC address'
complete -c minibridge -n $attached -s h -l hostname -x -d 'host name'
complete -c minibridge -n $attached -l network-alias -x -d 'further name in its network'
complete -c minibridge -n $attached -l dns -x -d 'name server'
complete -c minibridge -n $attached -l dns-search -x -d 'search domain'
complete -c minibridge -n $attached -l add-host -x -d 'line for /etc/hosts'
complete -c minibridge -n $attached -l sysctl -x -d 'net.* switch'
complete -c minibridge -n "$plain create" -l netns -r -F -d 'attach this namespace'

set -l command "$plain run exec"
complete -c minibridge -n $command -s e -l env -x -d 'environment variable'
complete -c minibridge -n $command -s w -l workdir -x -a '(__fish_complete_directories)' -d 'where the command runs'
complete -c minibridge -n $command -s u -l user -x -a '(__fish_complete_users)' -d 'as whom'
complete -c minibridge -n $command -s i -l interactive -d 'keep standard input open'
complete -c minibridge -n $command -s t -l tty -d 'give it a terminal'
complete -c minibridge -n $command -l privileged -d 'all capabilities'

set -l run "$plain run"
complete -c minibridge -n $run -l name -x -d 'its name'
complete -c minibridge -n $run -s d -l detach -d 'return when it is up'
complete -c minibridge -n $run -l rm -d 'remove it when it ends'
complete -c minibridge -n $run -s v -l volume -r -F -d 'show a file or directory'
complete -c minibridge -n $run -l rootfs -x -a '(__fish_complete_directories)' -d 'another root'
complete -c minibridge -n $run -l env-file -r -F -d 'variables from a file'
complete -c minibridge -n $run -l cap-add -x -d 'further capability'
complete -c minibridge -n $run -l cap-drop -x -d 'one capability less'

complete -c minibridge -n "$plain ps" -s a -l all -d 'stopped ones too'
complete -c minibridge -n "$plain ps" -s q -l quiet -d 'ids only'
complete -c minibridge -n "$plain rm" -s f -l force -d 'running ones too'
complete -c minibridge -n "$plain stop restart" -s t -l time -x -d 'seconds until SIGKILL'
complete -c minibridge -n "$plain kill" -s s -l signal -x -a 'TERM KILL INT HUP QUIT USR1 USR2' -d signal
complete -c minibridge -n "$plain logs" -s f -l follow -d 'go on'
complete -c minibridge -n "$plain logs" -s n -l tail -x -d 'last lines'
complete -c minibridge -n "$plain repair" -l check -d 'only say'
complete -c minibridge -n "$plain echo" -l listen -x -d 'address and port'
complete -c minibridge -n "$plain echo" -l udp -d 'UDP on the same ports too'

complete -c minibridge -n "$plain publish" -l move -d 'from whoever has it'

set -l in_network '__fish_seen_subcommand_from network'
complete -c minibridge -n "$in_network; and not __fish_seen_subcommand_from create connect disconnect ls inspect rm prune" -a 'create connect disconnect ls inspect rm prune'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from inspect rm" -a '(__minibridge_networks)'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from connect disconnect" -a '(__minibridge_networks) (__minibridge_containers)'
for option in ip ip6 mac-address alias gw-priority sysctl
    complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from connect" -l $option -x
end
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from disconnect" -s f -l force -d 'no error if it is not in it'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'ids only'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from ls prune" -l filter -x -a 'label='
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from prune" -s f -l force -d 'changes nothing'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from create" -l internal
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from create" -l ipv6
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from create" -l masquerade -x -a 'true false'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from create" -l icc -x -a 'true false'
complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from create" -l mode -x -a 'nat routed unprotected'
for option in subnet gateway ip-range aux-address mtu bridge-name label snat-to
    complete -c minibridge -n "$in_network; and __fish_seen_subcommand_from create" -l $option -x
end

set -l in_lab '__fish_seen_subcommand_from lab'
complete -c minibridge -n "$in_lab; and not __fish_seen_subcommand_from up ls exec shell graph down" -a 'up ls exec shell graph down'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from up" -F -a 'article three-machines docker-host routed'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from up" -l name -x -d 'its name'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from exec shell" -a '(__minibridge_lab_nodes)'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from exec shell graph down" -l lab -x -a '(__minibridge_labs)'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from graph down" -a '(__minibridge_labs)'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from graph" -l topology -r -F -a 'article three-machines docker-host routed'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from graph" -l format -x -a 'text mermaid svg'
complete -c minibridge -n "$in_lab; and __fish_seen_subcommand_from down" -l all -d 'every lab'

set -l in_scenario '__fish_seen_subcommand_from scenario'
complete -c minibridge -n "$in_scenario; and not __fish_seen_subcommand_from ls show run doc" -a 'ls show run doc'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from show run doc" -F -a '(__minibridge_scenarios)'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from ls show run" -l lang -x -a 'zh en'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from run" -l all -d 'every one, as a table'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from run" -l pause -d 'wait between the steps'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from run" -l keep -d 'leave the lab up'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from run" -l format -x -a 'table json junit'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from run" -l mutate -a 'one all' -d 'the self-test'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from run doc" -l jobs -x -d 'how many side by side'
complete -c minibridge -n "$in_scenario; and __fish_seen_subcommand_from doc" -l out -r -d 'the directory for the pages'
