# fish completion for podsh: everything is known by `podsh complete`.
# Use: put it in ~/.config/fish/completions
complete -c podsh -f -a '(podsh complete -- (commandline -opc)[2..] (commandline -ct))'
