// Completion scripts for shells, from the definition of the command line.
#include <fmt/format.h>

#include <string_view>

#include "arguments.hpp"
#include "command_line.hpp"

namespace tool {
namespace {

/// What a shell needs to know about an option.
struct option_facts {
  std::vector<std::string> names;  // "-c", "--concurrency"; a positional has none
  std::string about;
  std::string value;    // the name of its value; empty: it takes none
  std::string choices;  // "a b c": all that it may be
  bool file = false;
  bool repeated = false;
};

std::string with_spaces(std::string text, char separator) {
  for (char& c : text) {
    if (c == separator) c = ' ';
  }
  return text;
}

option_facts facts_of(const CLI::Option& o) {
  option_facts f;
  for (const auto& name : o.get_snames()) f.names.push_back("-" + name);
  for (const auto& name : o.get_lnames()) f.names.push_back("--" + name);
  f.about = with_spaces(o.get_description(), '\n');
  const std::string type = o.get_type_name();
  if (o.get_type_size() != 0 && o.get_expected_max() != 0) f.value = type.empty() ? "VALUE" : type;
  f.file = type == "FILE";
  if (type.find('|') != type.npos) f.choices = with_spaces(type, '|');
  f.repeated = o.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  return f;
}

std::vector<option_facts> options_of(const CLI::App& app) {
  std::vector<option_facts> all;
  for (const CLI::Option* o : app.get_options([](const CLI::Option*) { return true; })) {
    all.push_back(facts_of(*o));
  }
  return all;
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  return fmt::format("{}", fmt::join(words, between));
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

/// In single quotes of a POSIX shell or zsh.
std::string quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

// ---- bash ----

std::string bash(const command_line& of) {
  std::string values;
  std::string words;
  std::vector<std::string> commands;
  const auto add = [&](const CLI::App& app, const std::string& name) {
    std::vector<std::string> names;
    for (const auto& o : options_of(app)) {
      names.insert(names.end(), o.names.begin(), o.names.end());
      if (o.names.empty() && !o.choices.empty()) names.push_back(o.choices);
      if (o.names.empty() || o.value.empty()) continue;
      std::vector<std::string> patterns;
      for (const auto& n : o.names) patterns.push_back(fmt::format("'{} {}'", name, n));
      const std::string what = o.file               ? "files=1"
                               : !o.choices.empty() ? fmt::format("words={}", quoted(o.choices))
                                                    : "return";
      values += fmt::format("    {}) {} ;;\n", joined(patterns, " | "), what);
    }
    words += fmt::format("      {}) words={} ;;\n", name.empty() ? "''" : name,
                         quoted(joined(names, " ")));
  };
  for (const CLI::App* c : of.commands()) {
    add(*c, c->get_name());
    commands.push_back(c->get_name());
  }
  std::vector<std::string> top = commands;
  for (const auto& o : options_of(of.app())) top.insert(top.end(), o.names.begin(), o.names.end());
  words += fmt::format("      *) words={} ;;\n", quoted(joined(top, " ")));
  return fmt::format(R"(# bash completion for oneloop, made by: oneloop completions bash
_oneloop() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command='' words='' files='' i
  # --format=json is three words to bash.
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' ]]; then
    prev=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      {}) command=${{COMP_WORDS[i]}}; break ;;
    esac
  done
  COMPREPLY=()
  case "$command $prev" in
{}  esac
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    return
  fi
  if [[ -z $words ]]; then
    case $command in
{}    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -F _oneloop oneloop
)",
                     joined(commands, " | "), values, words);
}

// ---- zsh ----

/// For _arguments: in brackets, a colon and brackets are special.
std::string zsh_text(std::string text) {
  for (const char* c : {"\\", "[", "]", ":"}) text = replaced(text, c, std::string{"\\"} + c);
  return text;
}

std::string zsh_arguments(const CLI::App& app, std::string_view indent) {
  std::string text;
  for (const auto& o : options_of(app)) {
    std::string value;
    if (!o.value.empty()) {
      const std::string action = o.file               ? "_files"
                                 : !o.choices.empty() ? fmt::format("({})", o.choices)
                                                      : " ";
      value = fmt::format(":{}:{}", o.choices.empty() ? zsh_text(o.value) : "value", action);
    }
    if (o.names.empty()) {
      text += fmt::format("{}{} \\\n", indent, quoted((o.repeated ? "*" : "1") + value));
      continue;
    }
    // -c and --concurrency exclude each other, unless they may be repeated.
    const std::string others = o.repeated           ? "*"
                               : o.names.size() > 1 ? fmt::format("({})", joined(o.names, " "))
                                                    : "";
    for (const auto& n : o.names) {
      const char* const glue = value.empty() ? "" : n.starts_with("--") ? "=" : "+";
      text += fmt::format(
          "{}{} \\\n", indent,
          quoted(fmt::format("{}{}{}[{}]{}", others, n, glue, zsh_text(o.about), value)));
    }
  }
  return text;
}

std::string zsh(const command_line& of) {
  std::string commands;
  std::string cases;
  for (const CLI::App* c : of.commands()) {
    commands += fmt::format(
        "        {}\n", quoted(c->get_name() + ":" + replaced(c->get_description(), ":", "\\:")));
    cases += fmt::format("        {})\n          _arguments -s \\\n{}            && return ;;\n",
                         c->get_name(), zsh_arguments(*c, "            "));
  }
  return fmt::format(R"(#compdef oneloop
# zsh completion for oneloop, made by: oneloop completions zsh
_oneloop() {{
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C \
{}    '1: :->command' \
    '*:: :->argument' && return
  case $state in
    command)
      local -a commands=(
{}      )
      _describe command commands && return ;;
    argument)
      case $line[1] in
{}      esac ;;
  esac
  return 1
}}
if [[ $funcstack[1] == _oneloop ]]; then
  _oneloop "$@"
else
  compdef _oneloop oneloop
fi
)",
                     zsh_arguments(of.app(), "    "), commands, cases);
}

// ---- fish ----

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string fish_options(const CLI::App& app, const std::string& condition) {
  std::string text;
  for (const auto& o : options_of(app)) {
    if (o.names.empty() && o.choices.empty()) continue;
    text += "complete -c oneloop -n " + fish_quoted(condition);
    for (const auto& n : o.names) {
      text += n.starts_with("--") ? " -l " + n.substr(2) : " -s " + n.substr(1);
    }
    if (o.file) {
      text += " -r -F";
    } else if (!o.value.empty()) {
      text += o.names.empty() ? " -f" : " -x";
    }
    if (!o.choices.empty()) text += " -a " + fish_quoted(o.choices);
    text += " -d " + fish_quoted(o.about) + "\n";
  }
  return text;
}

std::string fish(const command_line& of) {
  std::string text =
      "# fish completion for oneloop, made by: oneloop completions fish\n"
      "complete -c oneloop -f\n";
  text += fish_options(of.app(), "__fish_use_subcommand");
  for (const CLI::App* c : of.commands()) {
    text += fmt::format("complete -c oneloop -n __fish_use_subcommand -a {} -d {}\n", c->get_name(),
                        fish_quoted(c->get_description()));
  }
  for (const CLI::App* c : of.commands()) {
    text += fish_options(*c, "__fish_seen_subcommand_from " + c->get_name());
  }
  return text;
}

}  // namespace

std::string completions(const command_line& of, const std::string& shell) {
  if (shell == "bash") return bash(of);
  return shell == "zsh" ? zsh(of) : fish(of);
}

}  // namespace tool
