// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/page.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "src/base/text.h"
#include "src/lab/journey_draw.h"
#include "src/lab/stable_text.h"

namespace mb::lab {
namespace {

// ---- the ports that a scenario names

class Ports {
 public:
  std::vector<std::uint16_t> all() const { return {ports_.begin(), ports_.end()}; }

  void add(std::uint16_t port) {
    if (port != 0) ports_.insert(port);
  }
  void add(const std::optional<AddressPattern>& pattern) {
    if (pattern && pattern->port.kind == PortPattern::number) add(pattern->port.value);
  }
  // Any number may be a port; a command is not understood here.
  void add_numbers(std::string_view text) {
    while (!text.empty()) {
      const auto digit = text.find_first_of("0123456789");
      if (digit == std::string_view::npos) return;
      text.remove_prefix(digit);
      std::uint16_t number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error == std::errc()) add(number);
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    }
  }
  void add(const std::vector<Listen>& listen) {
    for (const auto& each : listen) add(each.port);
  }
  void add(const std::vector<Command>& commands) {
    for (const auto& command : commands) add_numbers(command.command);
  }
  void add(const Command& command) { add_numbers(command.command); }
  void add(const Request& request) {
    add(request.to_port);
    add(request.source_port);
    add(request.seen.source);
    add(request.seen.dest);
    if (request.seen.original) {
      if (const auto* address = std::get_if<AddressPattern>(&request.seen.original->is)) add(std::optional(*address));
    }
    for (const auto& packet : request.wire) {
      add(packet.source);
      add(packet.dest);
    }
    for (const auto& entry : request.conntrack) {
      for (const auto* tuple : {&entry.original, &entry.reply}) {
        add(tuple->source);
        add(tuple->dest);
      }
    }
  }

 private:
  std::set<std::uint16_t> ports_;
};

// ---- the page

struct Words {
  const char* notice;
  const char* other_language;
  const char* world;
  const char* try_it;
  const char* observed;
  const char* says;
  const char* truth;
  const char* put_back;
  const char* left_out;
  const char* by_hand;
};

const Words& words_in(Language language) {
  static const Words kEnglish{"<!-- Made by `minibridge scenario doc`; change the scenario, not this page. -->",
                              "中文",
                              "World",
                              "Try it",
                              "Observed",
                              "It is said",
                              "In truth",
                              "Put back; everything is as it was before this step:",
                              "Left out where",
                              "by hand"};
  static const Words kChinese{"<!-- 由 `minibridge scenario doc` 生成；要修改请改场景文件，不要改本页。 -->",
                              "English",
                              "环境",
                              "亲手试试",
                              "观察到",
                              "有一种说法",
                              "事实是",
                              "恢复原状，一切回到本步骤之前：",
                              "以下情况略过",
                              "手工"};
  return language == Language::zh ? kChinese : kEnglish;
}

std::string code(const std::string& text) { return "`" + text + "`"; }

class Page {
 public:
  Page(const Scenario& scenario, const Report& report, Language language)
      : scenario_(scenario),
        report_(report),
        language_(language),
        words_(words_in(language)),
        ports_(named_ports(scenario)) {}

  std::string make() {
    const Language other = language_ == Language::en ? Language::zh : Language::en;
    text_ = fmt::format("{}\n\n# {}\n\n[{}]({})\n\n{}\n\n", words_.notice, scenario_.title.in(language_),
                        words_.other_language, page_name(scenario_.name, other), scenario_.summary.in(language_));
    text_ +=
        fmt::format("{0}{5}`{1}` · {2}{5}`minibridge scenario run {3}{4}`\n", words_.world, scenario_.topology.name,
                    words_.try_it, scenario_.name, language_ == Language::zh ? " --lang zh" : "", colon(language_));
    for (std::size_t i = 0; i < report_.steps.size(); ++i) add_step(i);
    return std::move(text_);
  }

 private:
  void add_step(std::size_t number) {
    const Step& step = scenario_.steps[number];
    const StepReport& report = report_.steps[number];
    text_ += fmt::format("\n## {}. {}\n", number + 1, step.want.in(language_));
    if (report.left_out)
      text_ += fmt::format("\n{}{}{}\n", words_.left_out, colon(language_), report.left_out->in(language_));
    add_commands(report, {Action::run, Action::serve});
    add_observations(report);
    if (step.claim) {
      text_ += fmt::format("\n> **{0}**{4}{1}\n>\n> **{2}**{4}{3}\n", words_.says, step.claim->says.in(language_),
                           words_.truth, step.claim->truth.in(language_), colon(language_));
    }
    add_pairs(step.pairs);
    if (!step.why.empty()) text_ += fmt::format("\n{}\n", step.why.in(language_));
    if (!step.undo.empty()) {
      text_ += fmt::format("\n{}\n", words_.put_back);
      add_commands(report, {Action::undo});
    }
  }

  void add_pairs(const std::vector<Pair>& pairs) {
    if (!pairs.empty()) text_ += fmt::format("\n| {} | minibridge |\n|---|---|\n", words_.by_hand);
    for (const Pair& pair : pairs) text_ += fmt::format("| {} | {} |\n", cell(pair.by_hand), cell(pair.minibridge));
  }

  static std::string cell(const std::vector<std::string>& lines) {
    std::vector<std::string> codes;
    std::transform(lines.begin(), lines.end(), std::back_inserter(codes), code);
    return join(codes, "<br>");
  }

  void add_commands(const StepReport& report, const std::set<Action::Kind>& kinds) {
    std::string lines;
    for (const auto& action : report.actions) {
      if (kinds.contains(action.kind)) lines += console(action);
    }
    if (!lines.empty()) text_ += fmt::format("\n```console\n{}```\n", lines);
  }

  // The command, and what it printed where a check is about that.
  std::string console(const Action& action) const {
    std::string lines = action.place + "$ ";
    for (const auto line : split(action.text, '\n')) {
      if (!line.empty()) lines += std::string(line) + "\n";
    }
    StableText stable(ports_);
    for (const Aspect aspect : {Aspect::standard_output, Aspect::standard_error}) {
      const auto about = [aspect](const Finding& finding) { return finding.aspect == aspect; };
      const auto finding = std::find_if(action.findings.begin(), action.findings.end(), about);
      const bool printed = !(aspect == Aspect::standard_output ? action.out : action.err).empty();
      if (printed && finding != action.findings.end()) lines += stable.of(finding->observed.en) + "\n";
    }
    return lines;
  }

  void add_observations(const StepReport& report) {
    for (const auto& action : report.actions) {
      if (action.kind == Action::request) add_request(action);
      if (action.kind == Action::look) add_look(action);
    }
  }

  void add_look(const Action& action) {
    text_ += fmt::format("\n```console\n{}```\n", console(action));
    std::string list;
    for (const auto& finding : action.findings) {
      if (!finding.absence) continue;
      list += fmt::format("- {}{}{}\n", name_of(finding.aspect).in(language_), colon(language_),
                          finding.expected.in(language_));
    }
    if (!list.empty()) text_ += "\n" + list;
  }

  void add_request(const Action& action) {
    StableText stable(ports_);
    if (action.journey) stable.follow(*action.journey);
    const std::string outcome = action.findings.empty() ? "" : action.findings.front().observed.in(language_);
    text_ += fmt::format("\n**{}** → {}{}**{}**\n", action.place,
                         with_manner(code(action.text), action.manner, language_), colon(language_), outcome);
    std::string list;
    for (const auto& finding : action.findings) {
      if (finding.aspect == Aspect::outcome) continue;
      list += fmt::format("- {}{}{}\n", name_of(finding.aspect).in(language_), colon(language_), fact(finding, stable));
    }
    if (!list.empty()) text_ += "\n" + list;
    if (!action.note.empty()) text_ += fmt::format("\n{}\n", action.note.in(language_));
    if (action.journey) add_journey(*action.journey);
  }

  // What is only counted differs from run to run, where TCP takes part.
  std::string fact(const Finding& finding, StableText& stable) const {
    const bool counted = finding.aspect == Aspect::counter || finding.aspect == Aspect::log;
    return code(counted ? finding.expected.in(language_) : stable.of(finding.observed.in(language_)));
  }

  void add_journey(const Journey& journey) {
    const Journey stable = with_stable_interfaces(with_stable_ports(journey, ports_));
    text_ += fmt::format("\n```text\n{}```\n\n```mermaid\n{}```\n", draw_table(stable, language_),
                         draw_mermaid(stable, language_));
  }

  const Scenario& scenario_;
  const Report& report_;
  Language language_;
  const Words& words_;
  std::vector<std::uint16_t> ports_;
  std::string text_;
};

}  // namespace

std::string page_name(const std::string& scenario, Language language) {
  return scenario + (language == Language::zh ? ".zh.md" : ".md");
}

std::string page_of(const Scenario& scenario, const Report& report, Language language) {
  return Page(scenario, report, language).make();
}

std::string index_page(const std::vector<Scenario>& scenarios, Language language) {
  const bool zh = language == Language::zh;
  std::string text = fmt::format("{}\n\n# {}\n\n{}\n\n", words_in(language).notice, zh ? "场景" : "Scenarios",
                                 zh ? "[English](README.md)" : "[中文](README.zh.md)");
  for (const auto& scenario : scenarios) {
    text += fmt::format("- [{} {}]({}){}{}\n", scenario.name.substr(0, scenario.name.find('-')),
                        scenario.title.in(language), page_name(scenario.name, language), colon(language),
                        scenario.summary.in(language));
  }
  return text;
}

std::vector<std::uint16_t> named_ports(const Scenario& scenario) {
  Ports ports;
  for (const auto& node : scenario.topology.nodes) {
    for (const auto& service : node.services) ports.add(service.echo);
  }
  for (const auto& step : scenario.steps) {
    ports.add(step.run);
    ports.add(step.undo);
    for (const auto& serve : step.serve) ports.add(serve.listen);
    for (const auto& each : step.expect) std::visit([&](const auto& one) { ports.add(one); }, each);
  }
  return ports.all();
}

}  // namespace mb::lab
