// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/judge.h"

#include <netinet/in.h>

#include <algorithm>
#include <iterator>
#include <regex>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::lab {
namespace {

constexpr std::size_t kMostPacketsShown = 12;

// Data reads the same in every language.
Texts both(const std::string& text) { return {text, text}; }

bool matches(const std::optional<AddressPattern>& pattern, const SocketAddress& address, std::uint16_t client_port) {
  return !pattern || lab::matches(*pattern, address, client_port);
}

std::string pattern_text(const std::optional<AddressPattern>& pattern) { return pattern ? pattern->str() : "*"; }

bool is_tcp(const Packet& packet) { return packet.protocol == IPPROTO_TCP; }
bool is_icmp(const Packet& packet) { return packet.protocol == IPPROTO_ICMP || packet.protocol == IPPROTO_ICMPV6; }

class RequestJudge {
 public:
  RequestJudge(const Request& request, const Observation& observation)
      : request_(request), observed_(observation), client_port_(observation.client ? observation.client->port : 0) {}

  std::vector<Finding> judge() {
    add(observed_.outcome == request_.outcome, Aspect::outcome, name_of(request_.outcome), name_of(observed_.outcome),
        request_.position.line);
    judge_seen();
    for (const auto& packet : request_.wire) judge_wire(packet);
    if (request_.last_seen) judge_last_seen(*request_.last_seen);
    for (std::size_t i = 0; i < request_.counters.size(); ++i) judge_counter(request_.counters[i], i);
    for (const auto& entry : request_.conntrack) judge_conntrack(entry);
    for (const auto& log : request_.log) judge_log(log);
    for (const auto& order : request_.log_order) judge_log_order(order);
    return std::move(findings_);
  }

 private:
  void add(bool ok, Aspect aspect, Texts expected, Texts observed, int line) {
    findings_.push_back({ok, aspect, std::move(expected), std::move(observed), line});
  }

  void judge_seen() {
    const auto& seen = observed_.seen;
    if (request_.seen.source) judge_address(Aspect::seen_source, *request_.seen.source, seen ? &seen->source : nullptr);
    if (request_.seen.dest) judge_address(Aspect::seen_dest, *request_.seen.dest, seen ? &seen->destination : nullptr);
    if (request_.seen.original) judge_original(*request_.seen.original);
  }

  void judge_address(Aspect aspect, const AddressPattern& pattern, const SocketAddress* address) {
    add(address != nullptr && lab::matches(pattern, *address, client_port_), aspect, both(pattern.str()),
        address == nullptr ? no_line() : both(address->str()), request_.position.line);
  }

  Texts no_line() const {
    if (observed_.answer.empty()) return {"the server said nothing", "服务端什么也没说"};
    return {"an answer that is no test server's: " + printable(observed_.answer),
            "不是测试服务的应答：" + printable(observed_.answer)};
  }

  void judge_original(const OriginalPattern& pattern) {
    const auto* address = std::get_if<AddressPattern>(&pattern.is);
    const Texts expected = both(address != nullptr ? address->str() : names_of(std::get<std::vector<int>>(pattern.is)));
    if (!observed_.seen) {
      add(false, Aspect::seen_original, expected, no_line(), request_.position.line);
      return;
    }
    const auto& original = observed_.seen->original;
    const auto* seen = std::get_if<SocketAddress>(&original);
    const bool ok = (address != nullptr) == (seen != nullptr) &&
                    (seen != nullptr ? lab::matches(*address, *seen, client_port_)
                                     : is_among(std::get<int>(original), std::get<std::vector<int>>(pattern.is)));
    add(ok, Aspect::seen_original, expected, both(seen != nullptr ? seen->str() : errno_name(std::get<int>(original))),
        request_.position.line);
  }

  static bool is_among(int number, const std::vector<int>& numbers) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
  }

  static std::string names_of(const std::vector<int>& numbers) {
    std::vector<std::string> names;
    std::transform(numbers.begin(), numbers.end(), std::back_inserter(names), errno_name);
    return join(names, " | ");
  }

  // ---- packets

  bool fits(const WirePattern& pattern, const Packet& packet) const {
    return packet.at == pattern.at && packet.direction == pattern.direction &&
           matches(pattern.source, packet.source, client_port_) && matches(pattern.dest, packet.dest, client_port_) &&
           (!pattern.tcp_flags || (is_tcp(packet) && packet.tcp_flags == *pattern.tcp_flags)) &&
           (!pattern.icmp || is_that(*pattern.icmp, packet));
  }

  static bool is_that(const IcmpPattern& pattern, const Packet& packet) {
    return is_icmp(packet) && packet.icmp_type == pattern.type && (!pattern.code || packet.icmp_code == *pattern.code);
  }

  static Texts packet_text(const WirePattern& pattern) {
    std::string packet = fmt::format("{} {}  {} > {}", pattern.at.str(), to_string(pattern.direction),
                                     pattern_text(pattern.source), pattern_text(pattern.dest));
    if (pattern.tcp_flags) packet += "  " + tcp_flags_text(*pattern.tcp_flags);
    if (pattern.icmp) packet += "  icmp " + pattern.icmp->str();
    if (pattern.absent) return {"no packet " + packet, "没有数据包 " + packet};
    return both(packet);
  }

  // All that passed this interface; a sentence when nothing did.
  Texts packets_at(const InterfacePlace& at) const {
    if (!observed_.interfaces.contains(at)) {
      return {fmt::format("there is no interface '{}'", at.str()), fmt::format("没有网卡“{}”", at.str())};
    }
    std::vector<std::string> lines;
    for (const auto& packet : observed_.packets) {
      if (packet.at == at && lines.size() < kMostPacketsShown) lines.push_back(describe(packet));
    }
    if (lines.empty()) return {"nothing passed there", "那里没有任何数据包经过"};
    return both(join(lines, "; "));
  }

  void judge_wire(const WirePattern& pattern) {
    const auto found = std::find_if(observed_.packets.begin(), observed_.packets.end(),
                                    [&](const Packet& packet) { return fits(pattern, packet); });
    const bool present = found != observed_.packets.end();
    const bool ok = observed_.interfaces.contains(pattern.at) && present != pattern.absent;
    add(ok, Aspect::wire, packet_text(pattern),
        present ? both(describe(*found)) : (ok ? packet_text(pattern) : packets_at(pattern.at)), pattern.position.line);
  }

  void judge_last_seen(const LastSeenPattern& pattern) {
    const auto last = std::find_if(observed_.packets.rbegin(), observed_.packets.rend(),
                                   [&](const Packet& packet) { return packet.reply == pattern.reply; });
    const bool found = last != observed_.packets.rend();
    add(found && fits(pattern.packet, *last), Aspect::last_seen, packet_text(pattern.packet),
        found ? both(describe(*last)) : Texts{"no packet was seen anywhere", "到处都没有看到数据包"},
        pattern.packet.position.line);
  }

  // ---- the kernel's own books

  static Texts amount_text(const Amount& amount) {
    if (amount.at_least) return {fmt::format("at least {}", amount.packets), fmt::format("至少 {}", amount.packets)};
    return both(std::to_string(amount.packets));
  }

  static bool is(const Amount& amount, std::uint64_t number) {
    return amount.at_least ? number >= amount.packets : number == amount.packets;
  }

  void judge_counter(const CounterPattern& pattern, std::size_t index) {
    const auto number = index < observed_.counted.size() ? observed_.counted[index] : std::nullopt;
    const std::string rule = pattern.rule == 0 ? "policy" : std::to_string(pattern.rule);
    const std::string where = fmt::format("{} {} {} {}: ", pattern.node, pattern.table, pattern.chain, rule);
    Texts expected = amount_text(pattern.packets);
    expected = {where + expected.en, where + expected.zh};
    const Texts none{"there is no such rule", "没有这条规则"};
    add(number && is(pattern.packets, *number), Aspect::counter, expected,
        number ? both(where + std::to_string(*number)) : none, pattern.position.line);
  }

  bool fits(const ConntrackPattern& pattern, const Tracked& entry) const {
    return entry.at.str() == pattern.node && matches(pattern.original.source, entry.original_source, client_port_) &&
           matches(pattern.original.dest, entry.original_dest, client_port_) &&
           matches(pattern.reply.source, entry.reply_source, client_port_) &&
           matches(pattern.reply.dest, entry.reply_dest, client_port_);
  }

  static std::string entry_text(const Tracked& entry) {
    return fmt::format("{} > {}, {} > {}", address_text(entry.original_source), address_text(entry.original_dest),
                       address_text(entry.reply_source), address_text(entry.reply_dest));
  }

  Texts entries_of(std::string_view node) const {
    std::vector<std::string> lines;
    for (const auto& entry : observed_.tracked) {
      if (entry.at.str() == node && lines.size() < kMostPacketsShown) lines.push_back(entry_text(entry));
    }
    if (lines.empty()) return {"no entry", "没有条目"};
    return both(join(lines, "; "));
  }

  void judge_conntrack(const ConntrackPattern& pattern) {
    const auto found = std::find_if(observed_.tracked.begin(), observed_.tracked.end(),
                                    [&](const Tracked& entry) { return fits(pattern, entry); });
    const bool present = found != observed_.tracked.end();
    const std::string entry = fmt::format("{}: {} > {}, {} > {}", pattern.node, pattern_text(pattern.original.source),
                                          pattern_text(pattern.original.dest), pattern_text(pattern.reply.source),
                                          pattern_text(pattern.reply.dest));
    const Texts expected = pattern.absent ? Texts{"no entry " + entry, "没有条目 " + entry} : both(entry);
    add(present != pattern.absent, Aspect::conntrack, expected,
        present ? both(entry_text(*found)) : (pattern.absent ? expected : entries_of(pattern.node)),
        pattern.position.line);
  }

  bool fits(const LogPattern& pattern, const Logged& log) const {
    return log.node == pattern.node && log.group == pattern.group && log.prefix == pattern.prefix &&
           matches(pattern.source, log.source, client_port_) && matches(pattern.dest, log.dest, client_port_);
  }

  void judge_log(const LogPattern& pattern) {
    const auto number = static_cast<std::uint64_t>(std::count_if(
        observed_.logged.begin(), observed_.logged.end(), [&](const Logged& log) { return fits(pattern, log); }));
    const std::string what = fmt::format("{} group {} '{}': ", pattern.node, pattern.group, pattern.prefix);
    const Texts amount = amount_text(pattern.packets);
    add(is(pattern.packets, number), Aspect::log, {what + amount.en, what + amount.zh},
        {fmt::format("{} (of {} logged)", number, observed_.logged.size()),
         fmt::format("{}（共记录 {}）", number, observed_.logged.size())},
        pattern.position.line);
  }

  // The kernel's reports of one namespace come in the order in which the rules were passed.
  void judge_log_order(const LogOrderPattern& pattern) {
    std::vector<std::string> seen;
    for (const auto& log : observed_.logged) {
      if (log.node == pattern.node && log.group == pattern.group) seen.push_back(log.prefix);
    }
    const Texts nothing{"nothing was logged", "没有任何记录"};
    add(seen == pattern.prefixes, Aspect::log, both(join(pattern.prefixes, ", ")),
        seen.empty() ? nothing : both(join(seen, ", ")), pattern.position.line);
  }

  const Request& request_;
  const Observation& observed_;
  std::uint16_t client_port_;
  std::vector<Finding> findings_;
};

// ---- what a command printed

// Blanks at the ends of lines and empty lines at the end do not count.
std::string normalised(std::string_view text) {
  std::vector<std::string> lines;
  for (const auto line : split(text, '\n')) {
    const auto end = line.find_last_not_of(" \t\r");
    lines.emplace_back(end == std::string_view::npos ? std::string_view() : line.substr(0, end + 1));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return join(lines, "\n");
}

bool found_somewhere(const std::string& expression, const std::string& text) {
  return std::regex_search(text, std::regex(expression, std::regex::ECMAScript | std::regex::multiline));
}

class TextJudge {
 public:
  TextJudge(Aspect aspect, const std::string& text, int line) : aspect_(aspect), text_(text), line_(line) {}

  std::vector<Finding> judge(const TextPattern& pattern) {
    if (pattern.equals) add(normalised(*pattern.equals) == normalised(text_), both(normalised(*pattern.equals)));
    for (const auto& part : pattern.contains) {
      add(text_.find(part) != std::string::npos, {"contains: " + part, "包含：" + part});
    }
    for (const auto& part : pattern.lacks) {
      add(text_.find(part) == std::string::npos, {"does not contain: " + part, "不包含：" + part});
      findings_.back().absence = true;
    }
    for (const auto& expression : pattern.matches) {
      add(found_somewhere(expression, text_), {"matches: " + expression, "匹配：" + expression});
    }
    return std::move(findings_);
  }

 private:
  void add(bool ok, Texts expected) {
    const std::string seen = normalised(text_);
    findings_.push_back(
        {ok, aspect_, std::move(expected), seen.empty() ? Texts{"nothing", "什么也没有"} : both(seen), line_});
  }

  Aspect aspect_;
  const std::string& text_;
  int line_;
  std::vector<Finding> findings_;
};

void append(std::vector<Finding>& to, std::vector<Finding> more) {
  std::move(more.begin(), more.end(), std::back_inserter(to));
}

Finding judge_status(const Command& command, const CommandResult& result) {
  const Texts failure{"a failure", "失败"};
  const Texts expected = command.status ? both(std::to_string(*command.status)) : failure;
  Texts observed = both(std::to_string(result.status));
  if (result.timed_out) observed = {"it did not end", "命令没有结束"};
  const bool ok = !result.timed_out && (command.status ? result.status == *command.status : result.status != 0);
  if (!ok && !result.timed_out && !result.err.empty()) observed = both(observed.en + ": " + normalised(result.err));
  return {ok, Aspect::status, expected, observed, command.position.line};
}

std::vector<std::string> lines_only_in(const std::string& one, const std::string& other) {
  const auto theirs = split(other, '\n');
  std::vector<std::string> only;
  for (const auto line : split(one, '\n')) {
    if (std::find(theirs.begin(), theirs.end(), line) == theirs.end()) only.emplace_back(line);
  }
  return only;
}

}  // namespace

std::string_view to_string(Aspect aspect) {
  switch (aspect) {
    case Aspect::outcome: return "outcome";
    case Aspect::seen_source: return "seen_source";
    case Aspect::seen_dest: return "seen_dest";
    case Aspect::seen_original: return "seen_original";
    case Aspect::wire: return "wire";
    case Aspect::last_seen: return "last_seen";
    case Aspect::counter: return "counter";
    case Aspect::conntrack: return "conntrack";
    case Aspect::log: return "log";
    case Aspect::status: return "status";
    case Aspect::standard_output: return "stdout";
    case Aspect::standard_error: return "stderr";
    case Aspect::undone: return "undone";
    case Aspect::setup: return "setup";
  }
  return "outcome";
}

std::vector<Finding> judge(const Request& request, const Observation& observation) {
  return RequestJudge(request, observation).judge();
}

std::vector<Finding> judge(const Command& command, const CommandResult& result) {
  std::vector<Finding> findings{judge_status(command, result)};
  const int line = command.position.line;
  append(findings, TextJudge(Aspect::standard_output, result.out, line).judge(command.out));
  append(findings, TextJudge(Aspect::standard_error, result.err, line).judge(command.err));
  return findings;
}

Finding judge_undone(const Step& step, const std::string& before, const std::string& after) {
  const Texts expected{"everything as before the step", "一切与本步骤之前相同"};
  const int line = step.undo.empty() ? step.position.line : step.undo.front().position.line;
  if (before == after) return {true, Aspect::undone, expected, expected, line};
  const auto left = lines_only_in(after, before);
  const auto gone = lines_only_in(before, after);
  std::vector<std::string> differences;
  for (const auto& each : left) differences.push_back("+ " + each);
  for (const auto& each : gone) differences.push_back("- " + each);
  return {false, Aspect::undone, expected, both(join(differences, "\n")), line};
}

Texts name_of(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::reached: return {"reached", "可达"};
    case Outcome::dropped: return {"dropped: no answer, and none can come", "被丢弃：没有应答，也不会再有"};
    case Outcome::error: break;
  }
  const std::string name = errno_name(outcome.error_number);
  if (outcome.error_number == ECONNREFUSED) return {"refused (" + name + ")", "被拒绝（" + name + "）"};
  return both(name);
}

bool all_ok(const std::vector<Finding>& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.ok; });
}

bool matches(const AddressPattern& pattern, const SocketAddress& address, std::uint16_t client_port) {
  if (pattern.address && *pattern.address != address.address) return false;
  switch (pattern.port.kind) {
    case PortPattern::any: return true;
    case PortPattern::number: return address.port == pattern.port.value;
    case PortPattern::same: return address.port == client_port;
    case PortPattern::other: return address.port != client_port;
  }
  return false;
}

std::string describe(const Packet& packet) {
  std::string text = fmt::format("{} {}  {} > {}", packet.at.str(), to_string(packet.direction),
                                 address_text(packet.source), address_text(packet.dest));
  if (is_tcp(packet)) text += "  " + tcp_flags_text(packet.tcp_flags);
  if (is_icmp(packet)) text += fmt::format("  icmp {}/{}", packet.icmp_type, packet.icmp_code);
  return text;
}

}  // namespace mb::lab
