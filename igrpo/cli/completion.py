"""`igrpo completion`: print a script that completes igrpo's arguments in a shell."""

from __future__ import annotations

import argparse

from igrpo.cli.arguments import Parser

# Bash splits words at "=" and ":", and replaces only the last part of what is typed: what stands before it is taken off
# the candidates. A candidate that ends with one of "=./" is continued, so no space follows it.
_BASH = r"""
_igrpo() {
    local line="${COMP_LINE:0:COMP_POINT}" current="${COMP_WORDS[COMP_CWORD]}" before candidate
    [[ $current == [=:] ]] && current=""
    before="${line%"$current"}"
    before="${before##* }"
    COMPREPLY=()
    while IFS= read -r candidate; do
        candidate="${candidate#"$before"}"
        [[ $candidate == *[!A-Za-z0-9_=,./:@%+-]* ]] && printf -v candidate '%q' "$candidate"
        COMPREPLY+=("$candidate")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" complete "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _igrpo igrpo
"""

_ZSH = r"""
#compdef igrpo
_igrpo() {
    local -a open closed
    local candidate
    for candidate in "${(@f)$(igrpo complete "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}"; do
        if [[ $candidate == *[=./] ]]; then open+=("$candidate"); else closed+=("$candidate"); fi
    done
    compadd -S '' -a open
    compadd -a closed
}
compdef _igrpo igrpo
"""

_FISH = r"""
complete --command igrpo --no-files \
    --arguments '(igrpo complete (commandline --current-process --cut-at-cursor) 2>/dev/null)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_EXAMPLES = (
    'eval "$(igrpo completion bash)"    # in ~/.bashrc, to have it in every shell',
    'eval "$(igrpo completion zsh)"     # in ~/.zshrc, after compinit',
    "igrpo completion fish > ~/.config/fish/completions/igrpo.fish",
)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser("completion", "Print a script that completes commands, options, settings and choices.", _EXAMPLES)
    made.add_argument("shell", choices=tuple(SCRIPTS), help="the shell: bash, zsh or fish")
    return made


def run(asked: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    print(SCRIPTS[asked.shell].strip())
    return 0
