// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/cli.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/output.h"
#include "src/cli/parsing.h"
#include "src/cli/verbs.h"
#include "src/container/failure.h"

namespace mb::cli {
namespace {

constexpr int kOurFailure = 125;

int exit_status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::failed:
    case ErrorKind::not_found: return 1;
    case ErrorKind::usage: return 2;
    case ErrorKind::privilege: return 3;
    case ErrorKind::conflict: return 4;
  }
  return 1;
}

bool takes_value(const std::string& word) { return word == "--state-dir" || word == "--format" || word == "--color"; }

// Where the verb stands, looked for from `first` on; the number of words if there is none.
std::size_t verb_position(const std::vector<std::string>& words, std::size_t first = 0) {
  for (std::size_t i = first; i < words.size(); ++i) {
    if (takes_value(words[i])) {
      ++i;
    } else if (!words[i].starts_with('-')) {
      return i;
    }
  }
  return words.size();
}

// "plan VERB …" is "--dry-run VERB …".
void unfold_plan(std::vector<std::string>& words) {
  const auto at = verb_position(words);
  if (at + 1 >= words.size() || words[at] != "plan" || words[at + 1].starts_with('-')) return;
  words[at] = "--dry-run";
}

// The words after "--" are the container's command and none of our business.
std::vector<std::string> cut_command(std::vector<std::string>& words) {
  const auto dashes = std::find(words.begin(), words.end(), "--");
  if (dashes == words.end()) return {};
  std::vector<std::string> command(dashes + 1, words.end());
  words.erase(dashes, words.end());
  return command;
}

// Supervisors leave the directory in which they were started, so the path must mean the same from everywhere.
std::string settled_state_dir(const std::string& typed) {
  const std::string hint = "--state-dir names a directory; it is made when it is not there";
  if (typed.empty()) throw Error(ErrorKind::usage, "the state directory has no name", hint);
  const auto path = std::filesystem::absolute(typed).lexically_normal();
  std::error_code ignored;  // what cannot be looked at is met again when it is opened
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_directory(status)) {
    throw Error(ErrorKind::usage, fmt::format("the state directory '{}' is not a directory", printable(path.string())),
                hint);
  }
  return path.string();
}

// With a standard stream missing, the next file that is opened (the state's lock, a namespace) would take its number and
// be handed to the container, or be waited for as if it were the stream.
void open_missing_streams() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd >= 0 && fd <= STDERR_FILENO) continue;
    if (fd >= 0) ::close(fd);
    return;
  }
}

void add_globals(CLI::App& app, Globals& globals) {
  app.add_option("--state-dir", globals.state_dir, "where the state is kept")
      ->capture_default_str()
      ->envname("MINIBRIDGE_STATE_DIR");
  expect_word(app.add_option("--format", globals.format, "table or json"), {"table", "json"})->capture_default_str();
  expect_word(app.add_option("--color", globals.color, "auto, always or never"), {"auto", "always", "never"})
      ->capture_default_str();
  app.add_flag("-v,--verbose", globals.verbose, "tell each step as it is taken");
  app.add_flag("--dry-run", globals.dry_run, "print the steps and the exact rules, change nothing");
}

struct VerbFamily {
  void (*add)(CLI::App&, Context&);
  std::vector<std::string_view> verbs;
};

const std::vector<VerbFamily>& families() {
  static const std::vector<VerbFamily> kFamilies{
      {add_run_verb, {"run"}},
      {add_create_verb, {"create"}},
      {add_exec_verb, {"exec"}},
      {add_container_verbs, {"ps", "start", "stop", "restart", "kill", "rm", "logs", "port", "wait"}},
      {add_publish_verbs, {"publish", "unpublish"}},
      {add_network_verbs, {"network"}},
      {add_inspect_verb, {"inspect"}},
      {add_maintenance_verbs, {"plan", "repair", "rules", "down", "version"}},
      {add_lab_verbs, {"lab"}},
      {add_doctor_verb, {"doctor"}},
      {add_echo_verb, {"echo"}},
      {add_scenario_verbs, {"scenario"}},
  };
  return kFamilies;
}

// Describing every verb takes as long as carrying out a small one, so only the family of the one that was typed is
// described. All are where that is none of them, and there help or an error names them.
void add_verbs(CLI::App& app, Context& context, const std::string& verb) {
  const auto has_it = [&verb](const VerbFamily& family) {
    return std::find(family.verbs.begin(), family.verbs.end(), verb) != family.verbs.end();
  };
  const auto found = std::find_if(families().begin(), families().end(), has_it);
  if (found != families().end()) return found->add(app, context);
  for (const VerbFamily& family : families()) family.add(app, context);
}

bool asks_for_help(const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(), [](const auto& word) { return word == "-h" || word == "--help"; });
}

class Program {
 public:
  Program()
      : app_("Container networks straight on the kernel: namespaces, veth pairs, a bridge and iptables rules.",
             "minibridge") {
    app_.require_subcommand(0, 1);
    app_.set_help_flag("-h,--help", "show this help");
    app_.fallthrough();
    add_globals(app_, context_.globals);
    app_.parse_complete_callback([this] { settle(); });  // before the verb's own callback
  }

  int run(std::vector<std::string> words) {
    unfold_plan(words);
    context_.command = cut_command(words);
    dry_run_ = std::find(words.begin(), words.end(), "--dry-run") != words.end();
    const auto verb = verb_position(words);
    if (verb < words.size()) verb_ = words[verb];
    const auto part = verb_position(words, verb + 1);
    if (part < words.size()) part_ = words[part];
    add_verbs(app_, context_, asks_for_help(words) ? std::string() : verb_);
    // Known before the words are parsed, so that errors about the words come in the form that was asked for.
    const std::vector<std::string> apart = {"--format", "json"};
    json_ = std::find(words.begin(), words.end(), "--format=json") != words.end() ||
            std::search(words.begin(), words.end(), apart.begin(), apart.end()) != words.end();
    return guarded([&] {
      if (words.empty()) {
        print_line(app_.help());
        context_.exit_status = 2;
        return;
      }
      refuse_useless_command();
      std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
      parse(words);
    });
  }

 private:
  // A plan of `run` is no run.
  bool is_run_or_exec() const {
    const bool in_lab = verb_ == "lab" && (part_ == "exec" || part_ == "shell");
    return (verb_ == "run" || verb_ == "exec" || in_lab) && !dry_run_;
  }

  // Said before the words are parsed: `stop -- web` is not missing a name, it has it in the wrong place.
  void refuse_useless_command() const {
    const bool takes_one = verb_ == "run" || verb_ == "exec" || (verb_ == "lab" && part_ == "exec");
    if (context_.command.empty() || takes_one || !is_verb(verb_)) return;
    const bool in_family = verb_ == "network" || verb_ == "lab" || verb_ == "scenario";
    const auto path = in_family && !part_.empty() ? fmt::format("{} {}", verb_, part_) : verb_;
    throw Error(ErrorKind::usage, fmt::format("'{}' runs no command, so nothing can stand after '--'", printable(path)),
                fmt::format("write '{}' without the '--'", printable(context_.command.front())));
  }

  void settle() {
    set_color(context_.globals.color);
    context_.globals.state_dir = settled_state_dir(context_.globals.state_dir);
  }

  void parse(std::vector<std::string>& words) {
    try {
      app_.parse(words);
    } catch (const CLI::ParseError& problem) {
      if (problem.get_exit_code() != 0) throw sentence_of(problem, app_);
      print_line(app_.help());  // --help; CLI11 goes on to the verb that was named
      return;
    }
    if (app_.get_subcommands().empty())
      throw Error(ErrorKind::usage, "a verb is missing", "'minibridge --help' lists them");
  }

  int failed(const Error& error) const {
    print_error(error.hint().empty() ? with_general_hint(error) : error, json_);
    if (const auto* failure = dynamic_cast<const container::CommandFailure*>(&error)) return failure->exit_status();
    return is_run_or_exec() ? kOurFailure : exit_status_of(error.kind());
  }

  // For errors that know no better one.
  Error with_general_hint(const Error& error) const {
    std::string hint;
    if (error.kind() == ErrorKind::usage) hint = hint_at_help(app_);
    if (error.error_number() == ENOSPC) hint = "make room there, or name another --state-dir";
    Error hinted(error.kind(), error.message(), hint, error.error_number());
    for (const auto& cause : error.causes()) hinted.add_cause(cause);
    return hinted;
  }

  bool is_verb(const std::string& word) const {
    const auto verbs = app_.get_subcommands([](const CLI::App*) { return true; });
    return std::any_of(verbs.begin(), verbs.end(), [&](const CLI::App* verb) { return verb->get_name() == word; });
  }

  template <class Action>
  int guarded(Action action) {
    try {
      action();
      flush_output();
      return context_.exit_status;
    } catch (const Error& error) {
      return failed(error);
    } catch (const std::system_error& error) {
      return failed(Error(ErrorKind::failed, error.what(), {}, error.code().value()));
    } catch (const std::exception& error) {
      return failed(Error(ErrorKind::failed, fmt::format("unexpected: {}", error.what()),
                          "this is a defect of minibridge; please report it"));
    }
  }

  CLI::App app_;
  Context context_;
  std::string verb_;
  std::string part_;  // the word after it: what a family of verbs is to do
  bool json_ = false;
  bool dry_run_ = false;
};

}  // namespace

CLI::App* add_verb(CLI::App& family, const std::string& name, const std::string& about, const std::string& example) {
  auto* verb = family.add_subcommand(name, about);
  verb->set_help_flag("-h,--help", "show this help");
  verb->footer("Example: " + example);
  return verb;
}

int run(int argc, char** argv) {
  open_missing_streams();
  // A reader that went away (`minibridge ps | head -1`) is met at the write, not by a signal in the middle of a change.
  std::signal(SIGPIPE, SIG_IGN);
  return Program().run({argv + 1, argv + argc});
}

}  // namespace mb::cli
