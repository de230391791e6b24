// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/parsing.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/text.h"

namespace mb::cli {
namespace {

// "text, mermaid or svg"
std::string enumerate(std::vector<std::string> words, std::string_view conjunction) {
  const auto last = words.back();
  words.pop_back();
  return words.empty() ? last : fmt::format("{} {} {}", join(words, ", "), conjunction, last);
}

bool is_number_between(const std::string& text, int lowest, int highest) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end && lowest <= number && number <= highest;
}

// The verbs that were understood, outermost first; the program itself is none.
std::vector<const CLI::App*> understood(const CLI::App& program) {
  std::vector<const CLI::App*> verbs;
  for (const CLI::App* at = &program; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    verbs.push_back(at);
  }
  return verbs;
}

const CLI::App& innermost(const CLI::App& program) {
  const auto verbs = understood(program);
  return verbs.empty() ? program : *verbs.back();
}

// The option that CLI11's text is about: it says its name first, or after "Could not convert: ".
const CLI::Option* option_in(std::string_view text, const CLI::App& program) {
  constexpr std::string_view kConversion = "Could not convert: ";
  if (text.starts_with(kConversion)) text.remove_prefix(kConversion.size());
  const auto name = text.substr(0, text.find_first_of(": "));
  auto apps = understood(program);
  apps.insert(apps.begin(), &program);
  for (auto app = apps.rbegin(); app != apps.rend(); ++app) {
    for (const CLI::Option* option : (*app)->get_options()) {
      if (option->get_name() == name) return option;
    }
  }
  return nullptr;
}

std::string quoted_path(const CLI::App& program) { return fmt::format("'{}'", verb_path(program)); }

Error usage(std::string message, std::string hint) { return {ErrorKind::usage, std::move(message), std::move(hint)}; }

bool is_positional(const CLI::Option& option) { return !option.get_name().starts_with('-'); }

std::string last_value(const CLI::Option& option) {
  return option.results().empty() ? std::string() : printable(option.results().back());
}

// What of the option is wrong; empty if it is something that CLI11 has no occasion to complain of in this program.
std::string fault_of(const CLI::ParseError& problem, const CLI::Option& option, const CLI::App& program) {
  const auto name = option.get_name();
  if (dynamic_cast<const CLI::RequiredError*>(&problem) != nullptr) {
    return fmt::format("{} needs a {}", quoted_path(program), name);
  }
  if (dynamic_cast<const CLI::ConversionError*>(&problem) != nullptr) {
    const auto* expected = option.get_type_name().starts_with("BOOLEAN") ? "true or false" : "a whole number";
    return fmt::format("{} cannot be '{}': expected {}", name, last_value(option), expected);
  }
  if (dynamic_cast<const CLI::ValidationError*>(&problem) != nullptr) {
    const std::string_view text = problem.what();
    return fmt::format("{} cannot be '{}'{}", name, last_value(option),
                       text.substr(std::min(name.size(), text.size())));
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&problem) == nullptr) return {};
  if (option.results().size() < 2) return fmt::format("{} needs a value", name);
  return is_positional(option)
             ? fmt::format("{} takes one {}, not {}", quoted_path(program), name, option.results().size())
             : fmt::format("{} can be given only once", name);
}

// What nobody takes, in the order in which it was typed.
std::vector<std::string> left_over(const CLI::App& program) { return program.remaining(true); }

// A family of verbs, or the program, without one that it knows.
Error without_verb(const CLI::App& family, const CLI::App& program) {
  std::vector<std::string> verbs;
  for (const auto* verb : family.get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(verb->get_name());
  std::sort(verbs.begin(), verbs.end());
  const bool is_program = &family == &program;
  const auto hint = is_program ? "'minibridge --help' lists them" : "its verbs are " + enumerate(verbs, "and");
  const auto words = left_over(program);
  const auto unknown =
      std::find_if(words.begin(), words.end(), [](const auto& word) { return !word.starts_with('-'); });
  const std::string place = is_program ? "" : fmt::format(" in {}", quoted_path(program));
  if (unknown != words.end()) return usage(fmt::format("there is no verb '{}'{}", printable(*unknown), place), hint);
  if (!words.empty()) return usage(fmt::format("there is no option '{}'{}", printable(words.front()), place), hint);
  return usage(is_program ? "a verb is missing" : fmt::format("a verb is missing after {}", quoted_path(program)),
               hint);
}

}  // namespace

CLI::Option* expect_number(CLI::Option* option, int lowest, int highest) {
  const auto wrong = fmt::format("expected a number from {} to {}", lowest, highest);
  return option->check(CLI::Validator(
      [=](const std::string& text) { return is_number_between(text, lowest, highest) ? std::string() : wrong; },
      fmt::format("{} to {}", lowest, highest)));
}

CLI::Option* expect_word(CLI::Option* option, const std::vector<std::string>& words) {
  const auto wrong = fmt::format("expected {}", enumerate(words, "or"));
  return option->check(CLI::Validator(
      [=](const std::string& text) {
        return std::find(words.begin(), words.end(), text) != words.end() ? std::string() : wrong;
      },
      fmt::format("{{{}}}", join(words, ","))));
}

std::string verb_path(const CLI::App& program) {
  std::vector<std::string> names;
  for (const auto* verb : understood(program)) names.push_back(verb->get_name());
  return join(names, " ");
}

std::string hint_at_help(const CLI::App& program) {
  const auto path = verb_path(program);
  return path.empty() ? "'minibridge --help' lists the verbs"
                      : fmt::format("'minibridge {} --help' shows its words", path);
}

Error sentence_of(const CLI::ParseError& problem, const CLI::App& program) {
  const auto hint = hint_at_help(program);
  if (const auto* option = option_in(problem.what(), program)) {
    const auto fault = fault_of(problem, *option, program);
    if (!fault.empty()) return usage(fault, hint);
  }
  const auto& verb = innermost(program);
  if (!verb.get_subcommands([](const CLI::App*) { return true; }).empty()) return without_verb(verb, program);
  const auto words = left_over(program);
  if (words.empty()) return usage(problem.what(), hint);
  const auto word = printable(words.front());
  return usage(word.starts_with('-') ? fmt::format("{} has no option '{}'", quoted_path(program), word)
                                     : fmt::format("{} does not take the word '{}'", quoted_path(program), word),
               hint);
}

}  // namespace mb::cli
