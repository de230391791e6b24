// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/report.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/base/text.h"

namespace mb::lab {
namespace {

using Json = nlohmann::ordered_json;

template <class Take>
void each_action(const Report& report, Take take) {
  for (const auto& step : report.steps) {
    for (const auto& action : step.actions) take(action);
  }
}

std::string_view kind_name(Action::Kind kind) {
  switch (kind) {
    case Action::run: return "run";
    case Action::serve: return "serve";
    case Action::request: return "request";
    case Action::look: return "look";
    case Action::undo: return "undo";
    case Action::check: return "check";
  }
  return "run";
}

std::string title_of(const Action& action) {
  return fmt::format("{} {}: {}", kind_name(action.kind), action.place,
                     with_manner(action.text, action.manner, Language::en));
}

std::string sentence(const Finding& finding, Language language) {
  const bool zh = language == Language::zh;
  return fmt::format(fmt::runtime(zh ? "{}：应为 {}，实为 {}" : "{}: expected {}, observed {}"),
                     name_of(finding.aspect).in(language), finding.expected.in(language),
                     finding.observed.in(language));
}

// ---- in which way a request is made

Texts source_words(const Request& request) {
  if (!request.source) {
    return {fmt::format("from port {}", request.source_port), fmt::format("源端口 {}", request.source_port)};
  }
  const std::string end =
      request.source_port == 0 ? request.source->str() : SocketAddress{*request.source, request.source_port}.str();
  return {"from " + end, "源地址 " + end};
}

Texts flag_words(std::uint8_t flags) {
  if (flags == 0) return {"one packet without flags", "单个不带标志位的数据包"};
  const std::string names = tcp_flags_text(flags);
  return {fmt::format("one packet with {}", names), fmt::format("单个带 {} 的数据包", names)};
}

std::vector<Texts> manners_of(const Request& request) {
  std::vector<Texts> words;
  if (request.timestamp) words.push_back({"a timestamp request", "时间戳请求"});
  if (request.tcp_flags) words.push_back(flag_words(*request.tcp_flags));
  if (request.source || request.source_port != 0) words.push_back(source_words(request));
  if (request.uid) words.push_back({fmt::format("as user {}", *request.uid), fmt::format("用户 {}", *request.uid)});
  if (request.mark != 0)
    words.push_back({fmt::format("with mark {}", request.mark), fmt::format("标记 {}", request.mark)});
  if (!request.payload.empty()) {
    const std::string payload = printable(request.payload);
    words.push_back({fmt::format("saying '{}'", payload), fmt::format("内容“{}”", payload)});
  }
  if (request.hold) words.push_back({"kept open", "保持连接"});
  return words;
}

// ---- JSON

// What programs print need not be UTF-8, and JSON must be.
std::string as_utf8(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

Json text_json(const std::string& text) { return Json::parse(as_utf8(text)); }

Json texts_json(const Texts& texts) { return {{"en", text_json(texts.en)}, {"zh", text_json(texts.zh)}}; }

Json finding_json(const Finding& finding) {
  return {{"ok", finding.ok},
          {"aspect", to_string(finding.aspect)},
          {"expected", text_json(finding.expected.en)},
          {"observed", text_json(finding.observed.en)},
          {"line", finding.line}};
}

Json address_json(const SocketAddress& address) {
  return {{"ip", address.address.str()}, {"port", address.port == 0 ? Json() : Json(address.port)}};
}

Json hook_json(const std::optional<Hook>& hook) { return hook ? Json(to_string(*hook)) : Json(); }

Json hops_json(const std::vector<Hop>& hops) {
  Json list = Json::array();
  for (const Hop& hop : hops) {
    const bool interface = hop.kind == Hop::at_interface;
    list.push_back({{"place", hop.place.str()},
                    {"interface", interface ? Json(hop.interface) : Json()},
                    {"direction", interface ? Json(to_string(hop.direction)) : Json()},
                    {"source", address_json(hop.source)},
                    {"dest", address_json(hop.dest)},
                    {"source_changed_in", hook_json(hop.source_changed_in)},
                    {"dest_changed_in", hook_json(hop.dest_changed_in)}});
  }
  return list;
}

Json journey_json(const std::optional<Journey>& journey) {
  if (!journey) return {};
  return {{"request", hops_json(journey->request)}, {"reply", hops_json(journey->reply)}};
}

Json action_json(const Action& action) {
  Json findings = Json::array();
  for (const auto& finding : action.findings) findings.push_back(finding_json(finding));
  return {{"kind", kind_name(action.kind)},
          {"place", action.place},
          {"text", text_json(action.text)},
          {"manner", action.manner.empty() ? Json() : texts_json(action.manner)},
          {"ok", action.ok()},
          {"line", action.line},
          {"findings", findings},
          {"stdout", text_json(action.out)},
          {"stderr", text_json(action.err)},
          {"journey", journey_json(action.journey)}};
}

Json step_json(const StepReport& report, const Step& step) {
  Json actions = Json::array();
  for (const auto& action : report.actions) actions.push_back(action_json(action));
  return {{"want", texts_json(step.want)},
          {"left_out", report.left_out ? Json(report.left_out->en) : Json()},
          {"actions", actions}};
}

// ---- JUnit

std::string xml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      default:
        // XML 1.0 has no other control characters.
        escaped += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return escaped;
}

std::string testcase(const Action& action, const Scenario& scenario) {
  const std::string begin = fmt::format("    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
                                        xml(scenario.name), xml(title_of(action)), xml(scenario.file), action.line);
  if (action.ok()) return begin + "/>\n";
  std::vector<std::string> sentences;
  for (const auto& finding : action.findings) {
    if (!finding.ok) sentences.push_back(sentence(finding, Language::en));
  }
  return fmt::format("{}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n", begin,
                     xml(sentences.front()), xml(join(sentences, "\n")));
}

}  // namespace

std::size_t Report::checks() const {
  std::size_t number = 0;
  each_action(*this, [&](const Action& action) { number += action.findings.size(); });
  return number;
}

std::size_t Report::failed() const {
  std::size_t number = 0;
  each_action(*this, [&](const Action& action) {
    number += static_cast<std::size_t>(std::count_if(action.findings.begin(), action.findings.end(),
                                                     [](const Finding& finding) { return !finding.ok; }));
  });
  return number;
}

std::vector<std::string> failures_of(const Report& report, const Scenario& scenario, Language language) {
  std::vector<std::string> failures;
  each_action(report, [&](const Action& action) {
    for (const auto& finding : action.findings) {
      if (finding.ok) continue;
      failures.push_back(fmt::format("{}:{}: {} → {}{}{}", scenario.file, finding.line, action.place,
                                     with_manner(action.text, action.manner, language), colon(language),
                                     sentence(finding, language)));
    }
  });
  return failures;
}

std::string json_of(const Report& report, const Scenario& scenario) {
  Json steps = Json::array();
  for (std::size_t i = 0; i < report.steps.size(); ++i) steps.push_back(step_json(report.steps[i], scenario.steps[i]));
  const Json json = {{"name", scenario.name},
                     {"title", texts_json(scenario.title)},
                     {"ok", report.ok()},
                     {"checks", report.checks()},
                     {"failed", report.failed()},
                     {"milliseconds", report.time.count()},
                     {"steps", steps}};
  return json.dump();
}

std::string junit_of(const Report& report, const Scenario& scenario) {
  std::string cases;
  std::size_t tests = 0;
  std::size_t failures = 0;
  each_action(report, [&](const Action& action) {
    if (action.findings.empty()) return;
    ++tests;
    if (!action.ok()) ++failures;
    cases += testcase(action, scenario);
  });
  return fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" time=\"{:.3f}\">\n{}  </testsuite>\n",
                     xml(scenario.name), tests, failures, static_cast<double>(report.time.count()) / 1000, cases);
}

std::string junit_of_error(const Scenario& scenario, const std::string& sentence) {
  return fmt::format(
      "  <testsuite name=\"{0}\" tests=\"1\" errors=\"1\">\n    <testcase classname=\"{0}\" name=\"run\">\n"
      "      <error message=\"{1}\"/>\n    </testcase>\n  </testsuite>\n",
      xml(scenario.name), xml(sentence));
}

std::string describe(const Request& request) {
  std::string text = fmt::format("{}/{}", request.target(), to_string(request.protocol));
  if (request.repeat > 1) text += fmt::format(" ×{}", request.repeat);
  return text;
}

Texts manner_of(const Request& request) {
  std::vector<std::string> english;
  std::vector<std::string> chinese;
  for (auto& words : manners_of(request)) {
    english.push_back(std::move(words.en));
    chinese.push_back(std::move(words.zh));
  }
  return {join(english, ", "), join(chinese, "，")};
}

std::string with_manner(const std::string& text, const Texts& manner, Language language) {
  if (manner.empty()) return text;
  return text + (language == Language::zh ? "，" : ", ") + manner.in(language);
}

Texts name_of(Aspect aspect) {
  switch (aspect) {
    case Aspect::outcome: return {"outcome", "结果"};
    case Aspect::seen_source: return {"source seen by the server", "服务端看到的源地址"};
    case Aspect::seen_dest: return {"destination seen by the server", "服务端看到的目的地址"};
    case Aspect::seen_original: return {"original destination", "原始目的地址"};
    case Aspect::wire: return {"on the wire", "线路上"};
    case Aspect::last_seen: return {"last seen", "最后一次出现在"};
    case Aspect::counter: return {"counter", "计数器"};
    case Aspect::conntrack: return {"conntrack", "连接跟踪"};
    case Aspect::log: return {"log", "日志"};
    case Aspect::status: return {"exit status", "退出码"};
    case Aspect::standard_output: return {"output", "输出"};
    case Aspect::standard_error: return {"error output", "错误输出"};
    case Aspect::undone: return {"put back", "恢复原状"};
    case Aspect::setup: return {"could not be done", "无法进行"};
  }
  return {};
}

}  // namespace mb::lab
