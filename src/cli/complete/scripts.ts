/**
 * What the shells run. All knowledge is in `bareboat __complete WORD…`: it gets the words up to the cursor, the last of them
 * unfinished, and prints candidates, one a line, each followed by a tab and its description. A last line `:files` asks for
 * names of files.
 */
const bash = `# bash completion of bareboat
_bareboat() {
  local line files=
  local -a words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  local cur="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  while IFS= read -r line; do
    case "$line" in
      :files) files=1 ;;
      *) COMPREPLY+=("$(printf '%q' "\${line%%$'\\t'*}")") ;;
    esac
  done < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
  if [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
  fi
}
complete -F _bareboat bareboat
`

const zsh = `#compdef bareboat
# zsh completion of bareboat
_bareboat() {
  local line files=
  local -a candidates
  while IFS= read -r line; do
    if [[ "$line" == ":files" ]]; then
      files=1
    else
      candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#candidates} )) && _describe 'bareboat' candidates
  [[ -n "$files" ]] && _files
}
if [[ "\${funcstack[1]}" == "_bareboat" ]]; then
  _bareboat "$@"
else
  compdef _bareboat bareboat
fi
`

const fish = `# fish completion of bareboat
function __bareboat_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l files
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            set files 1
        else
            echo $line
        end
    end
    if test -n "$files"
        __fish_complete_path (commandline -ct)
    end
end
complete -c bareboat -f -a '(__bareboat_complete)'
`

export const SCRIPTS = { bash, zsh, fish } as const
