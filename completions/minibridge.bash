# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for minibridge: verbs, options, and the names that exist.
# shellcheck shell=bash

# The words of the command line before the cursor decide; errors of minibridge itself are nobody's business here.
__minibridge_containers() { minibridge "${state_dir[@]}" ps -a 2>/dev/null | awk 'NR > 1 { print $2 }'; }
__minibridge_networks() { minibridge "${state_dir[@]}" network ls 2>/dev/null | awk 'NR > 1 { print $2 }'; }

_minibridge() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local verb='' subverb='' word i state_dir=() words=''
  local verbs='run create exec ps start stop restart kill rm logs port wait version publish unpublish inspect network
               plan repair rules down echo'
  local global='--state-dir --format --dry-run --color --help --verbose -v'
  local net='--name --network --publish -p --ip --mac-address --hostname -h --dns --dns-search --add-host --sysctl'
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
        elif [[ $verb == network && -z $subverb ]]; then subverb=$word; fi
        ;;
    esac
  done

  case $prev in
    --format) words='table json' ;;
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
    run) words="$net $process --detach -d --rm --volume -v --rootfs --env-file --cap-add --cap-drop" ;;
    create) words="$net --netns" ;;
    exec) words="$process $(__minibridge_containers)" ;;
    ps) words='--all -a --quiet -q' ;;
    stop | restart) words="--time -t $(__minibridge_containers)" ;;
    kill) words="--signal -s $(__minibridge_containers)" ;;
    rm) words="--force -f $(__minibridge_containers)" ;;
    logs) words="--follow -f --tail -n $(__minibridge_containers)" ;;
    start | port | wait | publish | unpublish) words=$(__minibridge_containers) ;;
    inspect | rules) words="$(__minibridge_containers) $(__minibridge_networks)" ;;
    repair) words='--check' ;;
    echo) words='--listen --udp' ;;
    network)
      case $subverb in
        '') words='create ls inspect rm prune' ;;
        create) words='--subnet --gateway --ip-range --aux-address --mtu --bridge-name --label --internal --masquerade --snat-to' ;;
        ls) words='--quiet -q' ;;
        inspect | rm) words=$(__minibridge_networks) ;;
      esac
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words --help" -- "$cur")
}
complete -F _minibridge minibridge
