// SPDX-License-Identifier: GPL-2.0-or-later
//
// scenario ls, show, run, doc
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/output.h"
#include "src/cli/parsing.h"
#include "src/cli/verbs.h"
#include "src/lab/lesson.h"
#include "src/lab/page.h"
#include "src/lab/scenario_library.h"
#include "src/lab/scenario_session.h"

namespace mb::cli {
namespace {

using lab::Digest;
using lab::Language;
using lab::Scenario;
using lab::Task;

struct ScenarioWords {
  std::vector<std::string> names;
  std::string language;
  std::string format;
  std::string out = "docs/scenarios";
  std::string mutate;
  std::size_t jobs = 0;
  bool all = false;
  bool pause = false;
  bool keep = false;
};

// "zh_CN.UTF-8" in LC_ALL, LC_MESSAGES or LANG (locale(7)), whichever is set first.
Language language_of(const std::string& asked) {
  if (!asked.empty()) return asked == "zh" ? Language::zh : Language::en;
  for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0')
      return std::string_view(value).starts_with("zh") ? Language::zh : Language::en;
  }
  return Language::en;
}

std::size_t reading_width() {
  constexpr std::size_t kUsual = 100;
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 40) return kUsual;
  return std::min<std::size_t>(size.ws_col, 120);
}

lab::Lesson lesson_in(Language language) {
  const lab::Paint paint{
      [](const std::string& text) { return bold(text); }, [](const std::string& text) { return dim(text); },
      [](const std::string& text) { return green(text); }, [](const std::string& text) { return red(text); },
      [](const std::string& text) { return yellow(text); }};
  return {language, paint, reading_width()};
}

// Text that ends its own lines.
void print_text(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  print_line(text);
  flush_output();
}

// ---- ls, show

void list(const Context& context, const ScenarioWords& words) {
  const Language language = language_of(words.language);
  std::vector<std::vector<std::string>> rows;
  auto json = nlohmann::ordered_json::array();
  for (const auto& name : lab::scenario_names()) {
    const Scenario scenario = lab::load_scenario(name);
    rows.push_back({name, std::to_string(scenario.steps.size()), scenario.topology.name, scenario.title.in(language)});
    json.push_back({{"name", name},
                    {"title", {{"en", scenario.title.en}, {"zh", scenario.title.zh}}},
                    {"summary", {{"en", scenario.summary.en}, {"zh", scenario.summary.zh}}},
                    {"topology", scenario.topology.name},
                    {"steps", scenario.steps.size()}});
  }
  if (context.globals.json()) {
    print_line(json.dump());
  } else {
    print_table({"NAME", "STEPS", "TOPOLOGY", "TITLE"}, rows);
  }
}

void show(const ScenarioWords& words) {
  print_text(lesson_in(language_of(words.language)).outline(lab::load_scenario(words.names.front())));
}

// ---- run: one, as a lesson

void wait_for_return(const lab::Lesson&, Language language) {
  print_error_line(dim(language == Language::zh ? "——按回车继续——" : "-- press Return --"));
  for (int c = std::getchar(); c != EOF && c != '\n'; c = std::getchar()) {
  }
}

void tell_failure(const Digest& digest) {
  if (digest.error) throw Error(*digest.error);
}

void run_lesson(Context& context, const Scenario& scenario, const ScenarioWords& words) {
  const Language language = language_of(words.language);
  const lab::Lesson lesson = lesson_in(language);
  print_text(lesson.opening(scenario));
  lab::RunEvents events;
  events.step_begins = [&](std::size_t number, const lab::Step& step) {
    if (words.pause && number > 0) wait_for_return(lesson, language);
    print_text(lesson.step_begins(number, scenario.steps.size(), step));
  };
  events.action_done = [&](const lab::Action& action) { print_text(lesson.action_done(scenario, action)); };
  events.step_ends = [&](std::size_t, const lab::Step& step, const lab::StepReport& report) {
    const auto text = lesson.step_ends(step, report);
    if (!text.empty()) print_text(text);
  };
  Task task{scenario, {}, language, [&](const Scenario&, const lab::Report& report) { return lesson.closing(report); }};
  const auto keep = words.keep ? std::optional(Name::parse(scenario.name)) : std::nullopt;
  const Digest digest = lab::run_one(task, events, keep);
  tell_failure(digest);
  print_text(digest.rendering);
  if (digest.kept_as) {
    print_error_line(fmt::format("the lab '{}' stays up: 'minibridge lab shell --lab {} {}', 'minibridge lab down {}'",
                                 digest.kept_as->str(), digest.kept_as->str(),
                                 scenario.topology.nodes.front().name.str(), digest.kept_as->str()));
  }
  if (!digest.ok) context.exit_status = 1;
}

// ---- run: many, as a table or for machines

std::size_t jobs_of(const ScenarioWords& words) {
  if (words.jobs > 0) return words.jobs;
  // A scenario mostly waits for its commands, one after the other.
  return 2 * std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

std::string verdict(const Digest& digest) {
  if (digest.error) return red("could not run");
  return digest.ok ? green("ok") : red("NOT OK");
}

// How many hold, and how long it took all together: they ran side by side.
void print_sum(const std::vector<Digest>& digests, std::chrono::milliseconds time, Language language) {
  const auto good = std::count_if(digests.begin(), digests.end(), [](const Digest& digest) { return digest.ok; });
  print_line(fmt::format(
      fmt::runtime(language == Language::zh ? "{1} 个场景中 {0} 个符合，用时 {2:.1f} 秒" : "{} of {} hold, {:.1f} s"),
      good, digests.size(), static_cast<double>(time.count()) / 1000));
}

void print_digests(const std::vector<Scenario>& scenarios, const std::vector<Digest>& digests, Language language) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < scenarios.size(); ++i) {
    rows.push_back({scenarios[i].name, std::to_string(digests[i].checks), std::to_string(digests[i].failed),
                    fmt::format("{:.1f} s", static_cast<double>(digests[i].time.count()) / 1000), verdict(digests[i]),
                    scenarios[i].title.in(language)});
  }
  print_table({"NAME", "CHECKS", "FAILED", "TIME", "RESULT", "TITLE"}, rows);
  for (const auto& digest : digests) {
    for (const auto& failure : digest.failures) print_line(failure);
  }
  for (std::size_t i = 0; i < scenarios.size(); ++i) {
    if (digests[i].error) print_line(fmt::format("{}: {}", scenarios[i].name, digests[i].error->message()));
  }
}

nlohmann::ordered_json json_of_digest(const Scenario& scenario, const Digest& digest) {
  if (!digest.error) return nlohmann::ordered_json::parse(digest.rendering);
  return {{"name", scenario.name}, {"ok", false}, {"error", digest.error->message()}};
}

void print_json(const std::vector<Scenario>& scenarios, const std::vector<Digest>& digests) {
  auto list = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < scenarios.size(); ++i) list.push_back(json_of_digest(scenarios[i], digests[i]));
  print_line(list.dump());
}

void print_junit(const std::vector<Scenario>& scenarios, const std::vector<Digest>& digests) {
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"minibridge scenarios\">\n";
  for (std::size_t i = 0; i < scenarios.size(); ++i) {
    text += digests[i].error ? lab::junit_of_error(scenarios[i], digests[i].error->message()) : digests[i].rendering;
  }
  print_text(text + "</testsuites>");
}

std::vector<Digest> run_in_parallel(const std::vector<Task>& tasks, std::size_t jobs) {
  std::vector<Digest> digests(tasks.size());
  std::size_t over = 0;
  const bool terminal = isatty(STDERR_FILENO) != 0;
  lab::run_all(tasks, jobs, [&](std::size_t number, Digest digest) {
    digests[number] = std::move(digest);
    if (terminal) fmt::print(stderr, "\r{}/{} ", ++over, tasks.size());
  });
  if (terminal) fmt::print(stderr, "\r\x1b[K");
  return digests;
}

void run_many(Context& context, const std::vector<Scenario>& scenarios, const ScenarioWords& words) {
  std::vector<Task> tasks;
  for (const auto& scenario : scenarios) {
    Task task{scenario, {}, language_of(words.language)};
    if (words.format == "json") task.render = [](const Scenario& s, const lab::Report& r) { return json_of(r, s); };
    if (words.format == "junit") task.render = [](const Scenario& s, const lab::Report& r) { return junit_of(r, s); };
    tasks.push_back(std::move(task));
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto digests = run_in_parallel(tasks, jobs_of(words));
  const auto time = std::chrono::steady_clock::now() - begin;
  if (words.format == "json") {
    print_json(scenarios, digests);
  } else if (words.format == "junit") {
    print_junit(scenarios, digests);
  } else {
    print_digests(scenarios, digests, language_of(words.language));
    print_sum(digests, std::chrono::duration_cast<std::chrono::milliseconds>(time), language_of(words.language));
  }
  const bool ok = std::all_of(digests.begin(), digests.end(), [](const Digest& digest) { return digest.ok; });
  if (!ok) context.exit_status = 1;
}

// ---- run --mutate: the self-test

struct Mutant {
  std::size_t scenario = 0;
  lab::Mutation mutation;
};

std::vector<Mutant> mutants_of(const std::vector<Scenario>& scenarios, bool one_each) {
  std::vector<Mutant> mutants;
  for (std::size_t i = 0; i < scenarios.size(); ++i) {
    for (const auto& mutation : lab::mutations_of(scenarios[i])) {
      mutants.push_back({i, mutation});
      if (one_each) break;
    }
  }
  return mutants;
}

// Why this machine leaves out the step in which something was to be changed; empty: it does not.
std::string reason_of_absence(const lab::Report& report, std::size_t step) {
  if (step >= report.steps.size()) return {};
  const auto& left_out = report.steps[step].left_out;
  return left_out ? left_out->en : std::string();
}

bool is_well(const Digest& digest) { return !digest.error && (!digest.ok || !digest.rendering.empty()); }

// "not noticed" is the failure here. What was rendered is the reason why the step was left out.
std::string noticed(const Digest& digest) {
  if (digest.error) return red("could not run");
  if (!digest.rendering.empty()) return "step left out: " + digest.rendering;
  return digest.ok ? red("NOT NOTICED") : green("noticed");
}

// A row of a table is one line.
std::string first_line(const std::string& command) {
  const auto end = command.find('\n');
  const bool is_all = end == std::string::npos || command.find_first_not_of('\n', end) == std::string::npos;
  return command.substr(0, end) + (is_all ? "" : " …");
}

std::string change_text(const lab::Mutation& mutation) {
  const std::string was = fmt::format("{}$ {}", mutation.node, first_line(mutation.was));
  return mutation.becomes ? fmt::format("{} => {}", was, first_line(*mutation.becomes)) : was;
}

void print_mutants(const std::vector<Scenario>& scenarios, const std::vector<Mutant>& mutants,
                   const std::vector<Digest>& digests, const ScenarioWords& words) {
  std::vector<std::vector<std::string>> rows;
  auto json = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < mutants.size(); ++i) {
    const auto& mutation = mutants[i].mutation;
    const auto& name = scenarios[mutants[i].scenario].name;
    rows.push_back({name, std::to_string(mutation.line), noticed(digests[i]), change_text(mutation)});
    json.push_back(
        {{"name", name},
         {"line", mutation.line},
         {"node", mutation.node},
         {"command", mutation.was},
         {"becomes", mutation.becomes ? nlohmann::ordered_json(*mutation.becomes) : nlohmann::ordered_json()},
         {"noticed", !digests[i].ok && !digests[i].error},
         {"left_out",
          digests[i].rendering.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(digests[i].rendering)}});
  }
  if (words.format == "json") {
    print_line(json.dump());
  } else {
    print_table({"NAME", "LINE", "RESULT", "LEFT OUT OR CHANGED"}, rows);
  }
}

void run_mutants(Context& context, const std::vector<Scenario>& scenarios, const ScenarioWords& words) {
  const auto mutants = mutants_of(scenarios, words.mutate == "one");
  std::vector<Task> tasks;
  for (const auto& mutant : mutants) {
    const std::size_t step = mutant.mutation.step;
    tasks.push_back({lab::apply(mutant.mutation, scenarios[mutant.scenario]),
                     {true},
                     Language::en,
                     [step](const Scenario&, const lab::Report& report) { return reason_of_absence(report, step); }});
  }
  const auto digests = run_in_parallel(tasks, jobs_of(words));
  print_mutants(scenarios, mutants, digests, words);
  if (!std::all_of(digests.begin(), digests.end(), is_well)) context.exit_status = 1;
}

// ---- run

std::vector<Scenario> wanted(const ScenarioWords& words) {
  if (words.all && !words.names.empty()) throw Error(ErrorKind::usage, "'--all' and names exclude each other");
  if (!words.all && words.names.empty()) {
    throw Error(ErrorKind::usage, "which scenario?", "name some, or --all; 'minibridge scenario ls' lists them");
  }
  std::vector<Scenario> scenarios;
  for (const auto& name : words.all ? lab::scenario_names() : words.names)
    scenarios.push_back(lab::load_scenario(name));
  return scenarios;
}

std::vector<Deed> deeds_of(const std::vector<Scenario>& scenarios) {
  std::vector<Deed> deeds;
  for (const auto& scenario : scenarios) {
    deeds.push_back({"run_scenario", fmt::format("run the scenario '{}' in a lab of its own", scenario.name)});
  }
  return deeds;
}

void run(Context& context, ScenarioWords words) {
  if (words.format.empty()) words.format = context.globals.format;
  const auto scenarios = wanted(words);
  const bool lesson = scenarios.size() == 1 && words.format == "table" && words.mutate.empty() && !words.all;
  if (!lesson && (words.pause || words.keep)) {
    throw Error(ErrorKind::usage, "'--pause' and '--keep' are for a single scenario that is read as a lesson");
  }
  if (context.globals.dry_run) {
    context.print_plan({}, deeds_of(scenarios));
  } else if (words.mutate == "one" || words.mutate == "all") {
    if (words.format == "junit") throw Error(ErrorKind::usage, "the self-test has no junit form", "table or json");
    run_mutants(context, scenarios, words);
  } else if (lesson) {
    run_lesson(context, scenarios.front(), words);
  } else {
    run_many(context, scenarios, words);
  }
}

// ---- doc

void write_page(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw system_failure(fmt::format("cannot write '{}'", path), errno);
}

// Both pages in one text: the length of the first, a line break, both.
std::string both_pages(const Scenario& scenario, const lab::Report& report) {
  const auto english = lab::page_of(scenario, report, Language::en);
  return fmt::format("{}\n{}{}", english.size(), english, lab::page_of(scenario, report, Language::zh));
}

void write_pages(const std::string& folder, const Scenario& scenario, const std::string& both) {
  const auto line = both.find('\n');
  const auto size = std::stoul(both.substr(0, line));
  write_page(folder + "/" + lab::page_name(scenario.name, Language::en), both.substr(line + 1, size));
  write_page(folder + "/" + lab::page_name(scenario.name, Language::zh), both.substr(line + 1 + size));
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) {
    throw system_failure(fmt::format("cannot make the directory '{}'", path), errno);
  }
}

void write_documentation(Context& context, ScenarioWords words) {
  words.all = words.names.empty();
  const auto scenarios = wanted(words);
  if (context.globals.dry_run) {
    context.print_plan({}, deeds_of(scenarios),
                       {{"write_pages", fmt::format("write its pages into '{}'", printable(words.out))}});
    return;
  }
  make_folder(words.out);
  std::vector<Task> tasks;
  for (const auto& scenario : scenarios) tasks.push_back({scenario, {}, Language::en, both_pages});
  const auto digests = run_in_parallel(tasks, jobs_of(words));
  for (std::size_t i = 0; i < scenarios.size(); ++i) {
    if (digests[i].ok) {
      write_pages(words.out, scenarios[i], digests[i].rendering);
      continue;
    }
    context.exit_status = 1;
    print_error_line(fmt::format("no page for '{}': its checks do not hold", scenarios[i].name));
  }
  if (!words.all) return;
  write_page(words.out + "/README.md", lab::index_page(scenarios, Language::en));
  write_page(words.out + "/README.zh.md", lab::index_page(scenarios, Language::zh));
}

// ---- the words

void add_language(CLI::App& verb, ScenarioWords& words) {
  expect_word(verb.add_option("--lang", words.language, "zh or en; default: what the locale says"), {"zh", "en"});
}

void add_jobs(CLI::App& verb, ScenarioWords& words) {
  expect_number(verb.add_option("--jobs", words.jobs, "how many at the same time; default: two per processor"), 1, 256);
}

void add_ls(CLI::App& family, Context& context) {
  auto words = std::make_shared<ScenarioWords>();
  auto* verb = add_verb(family, "ls", "what scenarios there are", "minibridge scenario ls --lang zh");
  add_language(*verb, *words);
  verb->callback([words, &context] { list(context, *words); });
}

void add_show(CLI::App& family) {
  auto words = std::make_shared<ScenarioWords>();
  auto* verb = add_verb(family, "show", "what a scenario would do", "minibridge scenario show redirect");
  verb->add_option("NAME", words->names, "a name, its number, or a path")->required()->expected(1);
  add_language(*verb, *words);
  verb->callback([words] { show(*words); });
}

void add_run(CLI::App& family, Context& context) {
  auto words = std::make_shared<ScenarioWords>();
  auto* verb =
      add_verb(family, "run", "run scenarios and check what they say", "minibridge scenario run redirect --pause");
  verb->add_option("NAME", words->names, "names, their numbers, or paths");
  verb->add_flag("--all", words->all, "all there are, as a table");
  verb->add_flag("--pause", words->pause, "wait for Return between the steps");
  verb->add_flag("--keep", words->keep, "leave the lab up afterwards");
  add_language(*verb, *words);
  expect_word(verb->add_option("--format", words->format, "table, json or junit"), {"table", "json", "junit"});
  add_jobs(*verb, *words);
  expect_word(
      verb->add_option(
          "--mutate", words->mutate,
          "the self-test: leave out one command at a time and demand that it is noticed; 'one' per scenario or 'all'"),
      {"one", "all"})
      ->expected(0, 1)
      ->default_str("all");
  verb->callback([words, verb, &context] {
    if (verb->count("--mutate") > 0 && words->mutate.empty()) words->mutate = "all";
    run(context, *words);
  });
}

void add_doc(CLI::App& family, Context& context) {
  auto words = std::make_shared<ScenarioWords>();
  auto* verb =
      add_verb(family, "doc", "run scenarios and write a page about each", "minibridge scenario doc --out pages");
  verb->add_option("NAME", words->names, "names, their numbers, or paths; default: all");
  verb->add_option("--out", words->out, "the directory for the pages")->capture_default_str();
  add_jobs(*verb, *words);
  verb->callback([words, &context] { write_documentation(context, *words); });
}

}  // namespace

void add_scenario_verbs(CLI::App& app, Context& context) {
  auto* family = app.add_subcommand("scenario", "lessons that run and check themselves");
  family->set_help_flag("-h,--help", "show this help");
  family->footer("Example: minibridge scenario run --all");
  family->require_subcommand(1);
  add_ls(*family, context);
  add_show(*family);
  add_run(*family, context);
  add_doc(*family, context);
}

}  // namespace mb::cli
