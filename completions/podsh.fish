# fish completion for podsh: everything is known by `podsh complete`.
# Use: put it in ~/.config/fish/completions, or: podsh complete --stub fish | source
function __podsh_complete
    set -l words (commandline -opc)
    podsh complete --typed -- (string escape -- $words[2..]) (commandline -ct) 2>/dev/null
end
complete -c podsh -f -k -a '(__podsh_complete)'
