# bash completion for podsh: everything is known by `podsh complete`.
# Use: . podsh.bash, or put it in ~/.local/share/bash-completion/completions/podsh
_podsh() {
    local IFS=$'\n' word shown glue='' keep='' quote=''
    local -a words=()
    # bash splits words at = and :, podsh does not: put them together again
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#words[@]} -gt 0 && ( $word == [=:] || -n $glue ) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        glue=''
        [[ $word == [=:] ]] && glue=yes
    done
    # only what stands after the last of them is to be replaced
    [[ ${words[-1]} == *[=:]* ]] && keep=${words[-1]%"${words[-1]##*[=:]}"}
    # within quotes the word is typed as it is
    [[ ${words[-1]#"$keep"} == [\"\']* ]] && quote=yes
    COMPREPLY=()
    while read -r word; do
        word=${word#"$keep"}
        if [[ -n $quote ]]; then
            shown=$word
        else
            printf -v shown %q "$word"
            [[ $shown == \\~/* ]] && shown=${shown:1}
        fi
        case $shown in
            */ | *= | *:) compopt -o nospace ;;
        esac
        COMPREPLY+=("$shown")
    done < <(podsh complete --typed --format values -- "${words[@]}" 2>/dev/null)
    # what a pod has not is not looked for here
    [[ ${#COMPREPLY[@]} -gt 0 || ${words[-1]} == *:* ]] || compopt -o default
}
complete -F _podsh podsh
