# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for minibridge: verbs, options, and the names that exist.
# shellcheck shell=bash

# The words of the command line before the cursor decide; errors of minibridge itself are nobody's business here.
__minibridge_containers() { minibridge "${state_dir[@]}" ps -a 2>/dev/null | awk 'NR > 1 { print $2 }'; }
__minibridge_networks() { minibridge "${state_dir[@]}" network ls 2>/dev/null | awk 'NR > 1 { print $2 }'; }
__minibridge_scenarios() { minibridge scenario ls 2>/dev/null | awk 'NR > 1 { print $1 }'; }
__minibridge_labs() { minibridge lab ls 2>/dev/null | awk 'NR > 1 { print $1 }'; }
__minibridge_lab_nodes() { minibridge lab ls 2>/dev/null | awk 'NR > 1 { for (i = 6; i <= NF; i++) print $i }'; }

_minibridge() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local verb='' subverb='' word i state_dir=() words=''
  local verbs='run create exec ps start stop restart kill rm logs port wait version publish unpublish inspect network
               plan repair doctor rules down lab scenario echo'
  local global='--state-dir --format --dry-run --color --help --verbose -v'
  local net='--network --publish -p --expose --publish-all -P --ip --ip6 --mac-address --network-alias --hostname -h --dns --dns-search --add-host --sysctl'
  local process='--env -e --workdir -w --user -u --interactive -i --tty -t --privileged'
  COMPREPLY=()

  # The verb is the first word that is neither an option nor the value of one; `plan` stands before another verb.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --) return ;;  # what follows is the command's
      --state-dir) state_dir=(--state-dir "${COMP_WORDS[++i]}") ;;
      --format | --color) ((i++)) ;;
      -*) ;;
      *)
        if [[ -z $verb || $verb == plan ]]; then verb=$word
        elif [[ $verb == network || $verb == lab || $verb == scenario ]] && [[ -z $subverb ]]; then subverb=$word; fi
        ;;
    esac
  done

  case $prev in
    --format) words='table json'
      [[ $subverb != graph ]] || words='text mermaid svg' ;;
    --lab) words=$(__minibridge_labs) ;;
    --topology) words='article three-machines docker-host routed' ;;
    --color) words='auto always never' ;;
    --network) words="$(__minibridge_networks) none host" ;;
    --signal | -s) words='TERM KILL INT HUP QUIT USR1 USR2' ;;
    --state-dir | --rootfs | --workdir | -w) compopt -o dirnames; return ;;
    --netns | --env-file) compopt -o default; return ;;
    --volume | -v) [[ -z $verb ]] || { compopt -o default; return; } ;;
  esac
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    return
  fi

  case $verb in
    '') words="$verbs $global" ;;
    plan) words=${verbs/plan /} ;;
    run) words="--name $net $process --detach -d --rm --volume -v --rootfs --env-file --cap-add --cap-drop" ;;
    create) words="$net --netns" ;;
    exec) words="$process $(__minibridge_containers)" ;;
    ps) words='--all -a --quiet -q' ;;
    stop | restart) words="--time -t $(__minibridge_containers)" ;;
    kill) words="--signal -s $(__minibridge_containers)" ;;
    rm) words="--force -f $(__minibridge_containers)" ;;
    logs) words="--follow -f --tail -n $(__minibridge_containers)" ;;
    start | port | wait | unpublish) words=$(__minibridge_containers) ;;
    publish) words="--move $(__minibridge_containers)" ;;
    inspect | rules) words="$(__minibridge_containers) $(__minibridge_networks)" ;;
    repair) words='--check' ;;
    echo) words='--listen --udp' ;;
    lab)
      case $subverb in
        '') words='up ls exec shell graph down' ;;
        up) compopt -o default; words='article three-machines docker-host routed --name' ;;
        exec | shell) words="--lab $(__minibridge_lab_nodes)" ;;
        graph) words="--lab --topology --format $(__minibridge_labs)" ;;
        down) words="--lab --all $(__minibridge_labs)" ;;
      esac
      ;;
    scenario)
      case $subverb in
        '') words='ls show run doc' ;;
        ls) words='--lang' ;;
        show) compopt -o default; words="--lang $(__minibridge_scenarios)" ;;
        run) compopt -o default; words="--all --pause --keep --lang --format --jobs --mutate $(__minibridge_scenarios)" ;;
        doc) compopt -o default; words="--out --jobs $(__minibridge_scenarios)" ;;
      esac
      ;;
    network)
      case $subverb in
        '') words='create connect disconnect ls inspect rm prune' ;;
        create) words='--subnet --gateway --ip-range --aux-address --mtu --bridge-name --label --internal --ipv6 --mode --icc --masquerade --snat-to' ;;
        connect) words="--ip --ip6 --mac-address --alias --gw-priority --sysctl $(__minibridge_networks) $(__minibridge_containers)" ;;
        disconnect) words="--force -f $(__minibridge_networks) $(__minibridge_containers)" ;;
        ls) words='--quiet -q --filter' ;;
        prune) words='--filter --force -f' ;;
        inspect | rm) words=$(__minibridge_networks) ;;
      esac
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words --help" -- "$cur")
}
complete -F _minibridge minibridge
