// The manual page, from the definition of the command line.
#include <fmt/format.h>

#include <string_view>

#include "command_line.hpp"

namespace tool {
namespace {

/// Text as roff takes it: backslashes and hyphens as they are, no line taken for a request.
std::string roff(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    at_start = c == '\n';
  }
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

/// Paragraphs, and between them lines that stay as they are.
std::string body(std::string_view text) {
  std::string out;
  bool literal = false;
  bool gap = false;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.empty()) {
      gap = true;
      continue;
    }
    const bool now_literal = line.starts_with("  ");
    if (now_literal && !literal) out += ".PP\n.nf\n.RS 2\n";
    if (!now_literal && literal) out += ".RE\n.fi\n";
    if (gap) out += now_literal && literal ? "\n" : now_literal ? "" : ".PP\n";
    out += roff(now_literal ? line.substr(2) : line) + "\n";
    literal = now_literal;
    gap = false;
  }
  if (literal) out += ".RE\n.fi\n";
  return out;
}

std::string value_of(const CLI::Option& o) {
  if (o.get_type_size() == 0 || o.get_type_name().empty()) return {};
  std::string text = " \\fI" + roff(o.get_type_name()) + "\\fR";
  if (!o.get_default_str().empty()) text += " (" + roff(o.get_default_str()) + ")";
  return text;
}

std::string options_of(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* o : app.get_options([](const CLI::Option*) { return true; })) {
    text += ".TP\n";
    if (!o->nonpositional()) {
      text += "\\fI" + roff(o->get_name()) + "\\fR";
    } else {
      std::string names;
      for (const auto& n : o->get_snames())
        names += (names.empty() ? "" : ", ") + ("\\fB\\-" + roff(n) + "\\fR");
      for (const auto& n : o->get_lnames())
        names += (names.empty() ? "" : ", ") + ("\\fB\\-\\-" + roff(n) + "\\fR");
      text += names + value_of(*o);
    }
    text += "\n" + roff(o->get_description()) + "\n";
  }
  return text;
}

std::string synopsis(const CLI::App& command) {
  std::string text = ".B oneloop " + command.get_name() + "\n[\\fIOPTION\\fR...]\n";
  for (const CLI::Option* o :
       command.get_options([](const CLI::Option* p) { return !p->nonpositional(); })) {
    const bool many = o->get_expected_max() > 1;
    text += fmt::format("{}\\fI{}\\fR{}{}\n", o->get_required() ? "" : "[", roff(o->get_name()),
                        many ? "..." : "", o->get_required() ? "" : "]");
  }
  return text;
}

}  // namespace

std::string manual_page(const command_line& of) {
  std::string text = ".TH ONELOOP 1 \"\" \"oneloop " + of.version() + "\" \"User Commands\"\n";
  text += ".SH NAME\noneloop \\- check links and get URLs, many at a time\n.SH SYNOPSIS\n";
  for (const CLI::App* c : of.commands()) {
    if (c != of.commands().front()) text += ".br\n";
    text += synopsis(*c);
  }
  text += ".SH DESCRIPTION\n" + roff(of.app().get_description()) + "\n";
  text += ".SH OPTIONS\n" + options_of(of.app());
  for (const CLI::App* c : of.commands()) {
    text += ".SH ONELOOP " + upper(c->get_name()) + "\n" + roff(c->get_description()) + ".\n";
    text += ".SS Options\n" + options_of(*c);
    for (const auto& s : of.sections(*c)) text += ".SS " + s.title + "\n" + body(s.text);
  }
  for (const auto& s : of.sections(of.app())) text += ".SH " + upper(s.title) + "\n" + body(s.text);
  return text;
}

}  // namespace tool
