# Completion of cygnet(8) in bash: the command itself says what may stand next. Devices, SPIs and
# addresses are those of the running cygnetd.

_cygnet() {
  local line=${COMP_LINE:0:COMP_POINT} words cur reply answer
  COMPREPLY=()
  # The line in words, whatever COMP_WORDBREAKS does to addresses.
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  cur=${words[${#words[@]} - 1]}
  mapfile -t answer < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
  if [[ ${answer[0]-} == '!'* ]]; then
    _cygnet_program "$((${answer[0]#!} + 1))" "$cur"
    return
  fi
  # Readline replaces only what follows the last break in the word.
  local broken=''
  [[ $cur == *[:=]* ]] && broken=${cur%"${cur##*[:=]}"}
  for reply in "${answer[@]}"; do
    if [[ $reply == / ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
    else
      printf -v reply '%q' "${reply#"$broken"}"
      COMPREPLY+=("$reply")
    fi
  done
}

# A command line of another program, which begins at word $1.
_cygnet_program() {
  if declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif ((COMP_CWORD == $1)); then
    mapfile -t COMPREPLY < <(compgen -c -- "$2")
  else
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$2")
  fi
}

complete -F _cygnet cygnet
