// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/lesson.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/text.h"
#include "src/lab/columns.h"
#include "src/lab/journey_draw.h"

namespace mb::lab {
namespace {

const std::string kIndent = "  ";
const std::string kDeeper = "      ";

std::string indented(std::string_view text, const std::string& indent) {
  std::string lines;
  for (const auto line : split(text, '\n')) {
    if (!line.empty()) lines += indent + std::string(line) + "\n";
  }
  return lines;
}

// What a command printed is shown when a check is about it, or when it failed.
bool is_about_output(const Finding& finding) {
  return finding.aspect == Aspect::standard_output || finding.aspect == Aspect::standard_error;
}

}  // namespace

std::string Lesson::say(const char* en, const char* zh) const { return language_ == Language::zh ? zh : en; }

std::string Lesson::paragraph(const std::string& text, const std::string& indent) const {
  return indent + wrapped(text, width_ - indent.size(), indent) + "\n";
}

std::string Lesson::opening(const Scenario& scenario) const {
  return paint_.strong(fmt::format("{}  {}", scenario.name, scenario.title.in(language_))) + "\n" +
         paragraph(scenario.summary.in(language_), "") +
         paint_.quiet(fmt::format("{}{}{}", say("topology", "拓扑"), colon(language_), scenario.topology.name)) + "\n";
}

std::string Lesson::step_begins(std::size_t number, std::size_t of, const Step& step) const {
  const std::string heading = fmt::format("{}/{}  ", number + 1, of);
  const std::string indent(heading.size(), ' ');
  return "\n" + paint_.strong(heading + wrapped(step.want.in(language_), width_ - heading.size(), indent)) + "\n";
}

std::string Lesson::command_lines(const std::string& place, const std::string& command) const {
  std::string lines;
  for (const auto line : split(command, '\n')) {
    if (line.empty()) continue;
    lines += lines.empty() ? fmt::format("{}{} $ {}\n", kIndent, place, paint_.strong(std::string(line)))
                           : fmt::format("{}{}   {}\n", kIndent, std::string(place.size(), ' '), line);
  }
  return lines;
}

std::string Lesson::mark(bool ok) const {
  return ok ? paint_.good(say("ok", "符合")) : paint_.bad(say("NOT OK", "不符"));
}

std::string Lesson::finding_line(const std::string& file, const Finding& finding) const {
  const std::string name = name_of(finding.aspect).in(language_);
  const std::string& observed = finding.observed.in(language_);
  const char* between = colon(language_);
  if (finding.ok) return fmt::format("{}{}{}{}\n", kDeeper, name, between, observed);
  return fmt::format("{0}{1}  {2}{3}{4} {5}\n{0}    {6} {7}\n{0}    {8}:{9}\n", kDeeper, mark(false), name, between,
                     say("expected", "应为"), finding.expected.in(language_), say("observed", "实为"), observed, file,
                     finding.line);
}

std::string Lesson::findings_of(const std::string& file, const Action& action) const {
  std::string lines;
  for (const auto& finding : action.findings) {
    const bool shown_above = finding.ok && (finding.aspect == Aspect::outcome || finding.aspect == Aspect::status ||
                                            finding.aspect == Aspect::undone || is_about_output(finding));
    if (!shown_above) lines += finding_line(file, finding);
  }
  return lines;
}

std::string Lesson::printed(const Action& action) const {
  const bool looked_at = std::any_of(action.findings.begin(), action.findings.end(), is_about_output);
  if (!looked_at && action.ok() && action.kind != Action::look) return {};
  return paint_.quiet(indented(action.out, kDeeper)) + paint_.quiet(indented(action.err, kDeeper));
}

std::string Lesson::action_done(const Scenario& scenario, const Action& action) const {
  const std::string findings = findings_of(scenario.file, action);
  switch (action.kind) {
    case Action::run:
    case Action::undo:
    case Action::serve: return command_lines(action.place, action.text) + printed(action) + findings;
    case Action::look:
      return command_lines(action.place, action.text) + printed(action) + kIndent + mark(action.ok()) + "\n" + findings;
    case Action::check:
      return fmt::format("{}{}  {}\n{}", kIndent, mark(action.ok()), say("put back as it was", "已恢复原状"), findings);
    case Action::request: break;
  }
  return request_done(scenario.file, action);
}

std::string Lesson::request_done(const std::string& file, const Action& action) const {
  const std::string outcome = action.findings.empty() ? "" : action.findings.front().observed.in(language_);
  std::string text = fmt::format("{}{}  {} → {}{}{}\n", kIndent, mark(action.ok()), action.place,
                                 with_manner(action.text, action.manner, language_), colon(language_), outcome);
  text += findings_of(file, action);
  if (!action.note.empty()) text += paragraph(action.note.in(language_), kDeeper);
  if (action.journey) text += indented(draw_table(*action.journey, language_, paint_), kDeeper);
  return text;
}

// One above the other: rules are longer than half a terminal.
std::string Lesson::side_by_side(const std::vector<Pair>& pairs) const {
  std::string lines;
  const auto add = [&](const std::string& head, const std::vector<std::string>& rules) {
    constexpr std::size_t kHead = 12;
    std::string begin = padded(head, kHead);
    for (const auto& rule : rules) {
      lines.append(kIndent).append(begin).append(rule).append("\n");
      begin.assign(kHead, ' ');
    }
  };
  for (const Pair& pair : pairs) {
    if (&pair != &pairs.front()) lines += "\n";
    add(say("by hand", "手工"), pair.by_hand);
    add("minibridge", pair.minibridge);
  }
  return lines;
}

std::string Lesson::step_ends(const Step& step, const StepReport& report) const {
  if (report.left_out) {
    return fmt::format("{}{}{}{}\n", kIndent, say("left out here", "此处略过"), colon(language_),
                       report.left_out->in(language_));
  }
  std::string text;
  if (step.claim) {
    text += paragraph(paint_.quiet(say("It is said: ", "有一种说法：")) + step.claim->says.in(language_), kIndent);
    text += paragraph(paint_.strong(say("In truth: ", "事实是：")) + step.claim->truth.in(language_), kIndent);
  }
  text += side_by_side(step.pairs);
  if (!step.why.empty()) text += paragraph(step.why.in(language_), kIndent);
  return text;
}

std::string Lesson::closing(const Report& report) const {
  if (report.checks() == 0) return "\n" + say("nothing was checked", "没有作任何检查") + "\n";
  const bool one = report.checks() == 1;
  const std::string hold =
      one ? say("the only check holds", "唯一的一项检查符合") : say("all {} checks hold", "{} 项检查全部符合");
  const std::string fail = one ? say("the only check does not hold", "唯一的一项检查不符")
                               : say("{1} of {0} checks do not hold", "{0} 项检查中有 {1} 项不符");
  const std::string sentence = fmt::format(fmt::runtime(report.ok() ? hold : fail), report.checks(), report.failed());
  return "\n" + (report.ok() ? paint_.good(sentence) : paint_.bad(sentence)) + "\n";
}

std::string Lesson::outline_of(const Request& request) const {
  return fmt::format("{}{} → {}{}{}\n", kIndent, request.from.str(),
                     with_manner(describe(request), manner_of(request), language_), colon(language_),
                     name_of(request.outcome).in(language_));
}

std::string Lesson::outline_of(const Command& command) const { return command_lines(command.node, command.command); }

std::string Lesson::outline(const Scenario& scenario) const {
  std::string text = opening(scenario);
  for (std::size_t i = 0; i < scenario.steps.size(); ++i) {
    const Step& step = scenario.steps[i];
    text += step_begins(i, scenario.steps.size(), step);
    for (const auto& command : step.run) text += outline_of(command);
    for (const auto& each : step.serve) text += command_lines(each.at.str(), echo_command(each.listen));
    for (const auto& each : step.expect) text += std::visit([&](const auto& one) { return outline_of(one); }, each);
    for (const auto& command : step.undo) text += outline_of(command);
    text += step_ends(step, {});
  }
  return text;
}

}  // namespace mb::lab
